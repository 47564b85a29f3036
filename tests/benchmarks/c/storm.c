/*
 * Starts programs one after the other, and says what that cost.
 * usage: storm COUNT RATE PROGRAM [DIRECTORY]
 *
 * RATE per second; 0: as fast as it goes. With DIRECTORY each start is of a file of its own there: a copy of PROGRAM.
 * Prints: count, wall ns, CPU ns of itself and its children.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static char image[1 << 20];
static ssize_t image_bytes;

static long long clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long cpu_ns(int who)
{
	struct rusage r;

	getrusage(who, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000LL + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000LL;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (image_bytes = read(fd, image, sizeof(image))) <= 0)
		die(path);
	close(fd);
}

static void copy_to(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

	if (fd < 0 || write(fd, image, image_bytes) != image_bytes)
		die(path);
	close(fd);
}

static void sleep_until(long long due_ns)
{
	struct timespec t = { due_ns / 1000000000LL, due_ns % 1000000000LL };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

int main(int argc, char **argv)
{
	long count, i;
	double rate;
	long long began_ns;
	char path[4096];

	if (argc < 4)
		return 2;
	count = atol(argv[1]);
	rate = atof(argv[2]);
	if (argc > 4)
		load(argv[3]);
	began_ns = clock_ns();
	for (i = 0; i < count; i++) {
		char *program = argv[3], *words[] = { NULL, NULL };
		pid_t child;
		int error;

		if (argc > 4) {
			snprintf(path, sizeof(path), "%s/p%ld", argv[4], i);
			copy_to(path);
			program = path;
		}
		if (rate > 0)
			sleep_until(began_ns + (long long)(i * 1e9 / rate));
		words[0] = program;
		error = posix_spawn(&child, program, NULL, NULL, words, environ);
		if (error) {
			errno = error;
			die(program);
		}
		while (waitpid(child, NULL, 0) < 0)
			;
	}
	printf("%ld %lld %lld\n", count, clock_ns() - began_ns, cpu_ns(RUSAGE_SELF) + cpu_ns(RUSAGE_CHILDREN));
	return 0;
}
