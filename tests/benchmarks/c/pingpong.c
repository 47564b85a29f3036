/*
 * Two processes on one CPU hand a byte to and fro through pipes: each hand-over is a context switch.
 * usage: pingpong ROUNDS CPU
 * Prints: switches, wall ns, CPU ns of both.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long cpu_ns(int who)
{
	struct rusage r;

	getrusage(who, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000LL + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000LL;
}

static void hand_over(int rounds, int in, int out, char begins)
{
	char byte = 'x';
	int i;

	for (i = 0; i < rounds; i++) {
		if (begins && write(out, &byte, 1) != 1)
			_exit(1);
		if (read(in, &byte, 1) != 1)
			_exit(1);
		if (!begins && write(out, &byte, 1) != 1)
			_exit(1);
	}
}

int main(int argc, char **argv)
{
	int rounds, there[2], back[2], status;
	struct timespec began, ended;
	cpu_set_t cpus;
	pid_t child;

	if (argc < 3 || pipe(there) || pipe(back))
		return 2;
	rounds = atoi(argv[1]);
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[2]), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &began);
	child = fork();
	if (child < 0)
		return 1;
	if (!child) {
		hand_over(rounds, there[0], back[1], 0);
		_exit(0);
	}
	hand_over(rounds, back[0], there[1], 1);
	if (waitpid(child, &status, 0) != child || status)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &ended);
	printf("%d %lld %lld\n", 2 * rounds, (ended.tv_sec - began.tv_sec) * 1000000000LL + ended.tv_nsec - began.tv_nsec,
	       cpu_ns(RUSAGE_SELF) + cpu_ns(RUSAGE_CHILDREN));
	return 0;
}
