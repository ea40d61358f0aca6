/* Start COUNT cheap processes in GROUPS groups by comm, PREFIX00 to PREFIX19 and so on, and print their pids.
 *
 *     idle COUNT PREFIX GROUPS
 *
 * Each byte on standard input is a command, and is answered with a byte when it is done: x replaces the oldest process
 * with a new one, r has the next one run for a moment and take or give back some memory, so that its numbers change, and
 * those of its cgroup.  At the end of standard input all of them go, and none outlives this one.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int groups, ran[2];

/* The kernel charges a cgroup 64 pages at a time for each processor, and of less than 64 changes for each of them
 * (mm/memcontrol.c, MEMCG_CHARGE_BATCH) memory.stat may know up to two seconds later. */
static void run(void)
{
	static char *held;
	size_t size = (64 * sysconf(_SC_NPROCESSORS_ONLN) + 64) * sysconf(_SC_PAGESIZE);

	if (held) {
		munmap(held, size);
		held = NULL;
	} else {
		held = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (held == MAP_FAILED)
			_exit(1);
		memset(held, 1, size);
	}
	if (write(ran[1], ".", 1) != 1)
		_exit(1);
}

static pid_t start(const char *prefix, int number)
{
	pid_t parent = getpid(), pid;
	char comm[16];
	sigset_t wanted;

	pid = fork();
	if (pid < 0) {
		perror("idle: fork");
		exit(1);
	}
	if (pid > 0)
		return pid;
	snprintf(comm, sizeof comm, "%s%02d", prefix, number % groups);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, comm);
	signal(SIGINT, SIG_DFL);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	if (getppid() != parent) /* it died before the signal was asked for */
		_exit(1);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR1);
	for (;;)
		if (sigwaitinfo(&wanted, NULL) == SIGUSR1)
			run();
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
	int count = argc == 4 ? atoi(argv[1]) : 0, oldest = 0, next = 0;
	sigset_t blocked;
	pid_t *pids;
	char byte;

	groups = argc == 4 ? atoi(argv[3]) : 0;
	if (count < 1 || groups < 1) {
		fprintf(stderr, "usage: idle COUNT PREFIX GROUPS\n");
		return 2;
	}
	if (pipe(ran)) {
		perror("idle: pipe");
		return 1;
	}
	/* The children inherit it, and wait for the signal by sigwaitinfo. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
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
		if (byte == 'r') {
			kill(pids[next], SIGUSR1);
			next = (next + 1) % count;
			if (read(ran[0], &byte, 1) != 1)
				break;
		} else {
			stop(pids[oldest]);
			pids[oldest] = start(argv[2], oldest);
			oldest = (oldest + 1) % count;
		}
		if (write(STDOUT_FILENO, ".", 1) != 1)
			break;
	}
	for (int i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < count; i++)
		stop(pids[i]);
	return 0;
}
