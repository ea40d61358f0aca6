/* The reads of one scrape and nothing else: what the kernel alone costs.
 *
 *     reads ROOT kept|open ITERATIONS < names
 *
 * Each iteration lists ROOT and reads every file named on standard input (one a line, below ROOT): with descriptors
 * kept open (pread), or with openat, read and close.  Prints one line of JSON, in microseconds: CPU of an iteration
 * (getrusage, mean), the wall time of each, and what was read.  One more comes before several, to warm up; a single one
 * is for what has just changed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char buffer[65536];

static double us(struct timeval t)
{
	return t.tv_sec * 1e6 + t.tv_usec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void list(int root)
{
	lseek(root, 0, SEEK_SET);
	while (syscall(SYS_getdents64, root, buffer, sizeof buffer) > 0)
		;
}

int main(int argc, char **argv)
{
	int iterations = argc == 4 ? atoi(argv[3]) : 0, kept, root, count = 0, room = 0, *fds;
	char line[512], **names = NULL;
	struct rusage before, after;
	struct rlimit limit;
	long long bytes = 0;
	double *walls, user, system;

	if (iterations < 1) {
		fprintf(stderr, "usage: reads ROOT kept|open ITERATIONS < names\n");
		return 2;
	}
	kept = !strcmp(argv[2], "kept");
	root = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		fail(argv[1]);
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (count == room)
			names = realloc(names, (room = room ? 2 * room : 1024) * sizeof *names);
		names[count++] = strdup(line);
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	fds = calloc(count, sizeof *fds);
	walls = calloc(iterations, sizeof *walls);
	for (int i = 0; kept && i < count; i++)
		if ((fds[i] = openat(root, names[i], O_RDONLY | O_CLOEXEC)) < 0)
			fail(names[i]);

	for (int n = iterations > 1 ? -1 : 0; n < iterations; n++) {
		struct timespec start, end;

		if (n == 0) {
			bytes = 0;
			getrusage(RUSAGE_SELF, &before);
		}
		clock_gettime(CLOCK_MONOTONIC, &start);
		list(root);
		for (int i = 0; i < count; i++) {
			int fd = kept ? fds[i] : openat(root, names[i], O_RDONLY | O_CLOEXEC);
			ssize_t got = kept ? pread(fd, buffer, sizeof buffer, 0) : read(fd, buffer, sizeof buffer);

			if (got < 0)
				fail(names[i]);
			bytes += got;
			if (!kept)
				close(fd);
		}
		clock_gettime(CLOCK_MONOTONIC, &end);
		if (n >= 0)
			walls[n] = (end.tv_sec - start.tv_sec) * 1e6 + (end.tv_nsec - start.tv_nsec) / 1e3;
	}
	getrusage(RUSAGE_SELF, &after);
	user = (us(after.ru_utime) - us(before.ru_utime)) / iterations;
	system = (us(after.ru_stime) - us(before.ru_stime)) / iterations;
	printf("{\"cpu_us\": %.1f, \"user_us\": %.1f, \"system_us\": %.1f, \"files\": %d, \"bytes\": %lld, \"wall_us\": [",
	       user + system, user, system, count, bytes / iterations);
	for (int n = 0; n < iterations; n++)
		printf("%s%.1f", n ? ", " : "", walls[n]);
	printf("]}\n");
	return 0;
}
