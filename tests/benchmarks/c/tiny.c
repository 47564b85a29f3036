/* The smallest program: 20,000 copies of it fit into a directory. Without libc: it only ends. */
void _start(void)
{
#if defined(__x86_64__)
	__asm__ volatile("mov $60, %eax; xor %edi, %edi; syscall");
#elif defined(__aarch64__)
	__asm__ volatile("mov x8, #93; mov x0, #0; svc #0");
#else
#error "say how a program ends on this machine"
#endif
}
