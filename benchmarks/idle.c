/* Start COUNT cheap processes in 20 groups by comm, PREFIX00 to PREFIX19, and print their pids.
 *
 *     idle COUNT PREFIX
 *
 * Each byte on standard input replaces the oldest process with a new one and is answered with a byte, so that the
 * caller knows when the change is done.  At the end of standard input all of them go, and none outlives this one.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GROUPS = 20 };

static pid_t start(const char *prefix, int number)
{
	pid_t parent = getpid(), pid;
	char comm[16];

	pid = fork();
	if (pid < 0) {
		perror("idle: fork");
		exit(1);
	}
	if (pid > 0)
		return pid;
	snprintf(comm, sizeof comm, "%s%02d", prefix, number % GROUPS);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, comm);
	signal(SIGINT, SIG_DFL);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	if (getppid() != parent) /* it died before the signal was asked for */
		_exit(1);
	for (;;)
		pause();
}

static void stop(pid_t pid)
{
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	int count = argc == 3 ? atoi(argv[1]) : 0, oldest = 0;
	pid_t *pids;
	char byte;

	if (count < 1) {
		fprintf(stderr, "usage: idle COUNT PREFIX\n");
		return 2;
	}
	/* Control-C reaches the whole foreground group, but the harness is the one to decide when these end. */
	signal(SIGINT, SIG_IGN);
	pids = calloc(count, sizeof *pids);
	for (int i = 0; i < count; i++)
		pids[i] = start(argv[2], i);
	for (int i = 0; i < count; i++)
		printf("%d\n", pids[i]);
	printf("\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) == 1) {
		stop(pids[oldest]);
		pids[oldest] = start(argv[2], oldest);
		oldest = (oldest + 1) % count;
		if (write(STDOUT_FILENO, ".", 1) != 1)
			break;
	}
	for (int i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < count; i++)
		stop(pids[i]);
	return 0;
}
