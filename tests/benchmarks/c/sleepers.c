/*
 * A host with many processes: makes COUNT of them, says so, and ends them when its standard input ends.
 * usage: sleepers COUNT
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 0, i;
	char byte;

	for (i = 0; i < count; i++) {
		pid_t child = fork();

		if (child < 0)
			return 1;
		if (!child) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	printf("%d\n", count);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
