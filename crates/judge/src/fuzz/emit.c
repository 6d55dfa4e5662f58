#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What older headers do not have; their arguments are words: struct pm_scan_arg, struct uffdio_poison. */
#define PM_SCAN _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, 12 * sizeof(long))
#define POISON _IOC(_IOC_READ | _IOC_WRITE, UFFDIO, 8, 4 * sizeof(long))

/* One line at a time, whichever process it is of. */
static volatile int *turn;
static sigjmp_buf jump;

static void on_signal(int sig) { siglongjmp(jump, sig); }

static inline void result(int line, const char *call, long got)
{
	printf("%3d %s = %ld%s%s\n", line, call, got, got == -1 ? " " : "", got == -1 ? strerror(errno) : "");
	fflush(stdout);
}

static inline void signalled(int line, const char *call, int sig)
{
	printf("%3d %s: %s\n", line, call, strsignal(sig));
	fflush(stdout);
}

static inline void not_made(int line, const char *call)
{
	printf("%3d %s: no program makes this call\n", line, call);
	fflush(stdout);
}

static inline long write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	long n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

static inline long touch(volatile char *at, size_t len, int write)
{
	for (size_t i = 0; i < len; i += 4096)
		if (write)
			at[i] = 1;
		else
			(void)at[i];
	return 0;
}

static inline long set(void *at, int byte, size_t len)
{
	memset(at, byte, len);
	return 0;
}

static inline long pagemap_scan(long addr, long len, long flags, long mask, long returned, long max_pages)
{
	static long regions[3 * 512];
	long arg[12] = { sizeof(arg), flags, addr, addr + len, 0, (long)regions, 512, max_pages, 0, mask, 0, returned };
	int fd = open("/proc/self/pagemap", O_RDONLY);
	long found = ioctl(fd, PM_SCAN, arg);

	close(fd);
	return found;
}

/* The userfaultfd of this process that was opened last. Nobody would read its events, so that it has none. */
static int uffd_fd = -1, uffd_owner;

static inline int uffd_open(long features)
{
	struct uffdio_api api = { .api = UFFD_API };

	api.features = (features & ~(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP)) | UFFD_FEATURE_SIGBUS;
	uffd_owner = getpid();
	uffd_fd = syscall(SYS_userfaultfd, O_NONBLOCK | O_CLOEXEC);
	return uffd_fd < 0 ? -1 : ioctl(uffd_fd, UFFDIO_API, &api);
}

static inline long uffd(long addr, long len, long features)
{
	struct uffdio_register arg = { .range = { addr, len }, .mode = UFFDIO_REGISTER_MODE_WP };

	return uffd_open(features) ? -1 : ioctl(uffd_fd, UFFDIO_REGISTER, &arg);
}

static inline long uffd_range(unsigned long request, long addr, long len, long mode)
{
	long arg[4] = { addr, len, mode, 0 };

	if (uffd_owner != getpid() && uffd_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP))
		return -1;
	return ioctl(uffd_fd, request, arg);
}

/* What the program sets, and what it was before; the last has no path. */
static struct setting {
	const char *path;
	char was[128];
} settings[] = {
	/* SETTINGS */
	{ 0, "" },
};

/* Several words with the one that holds in brackets, or one. */
static inline void read_settings(void)
{
	for (struct setting *s = settings; s->path; s++) {
		int fd = open(s->path, O_RDONLY);
		long n = fd < 0 ? -1 : read(fd, s->was, sizeof(s->was) - 1);
		char *word = n > 0 ? strchr(s->was, '[') : 0;

		if (fd >= 0)
			close(fd);
		s->was[n > 0 ? n : 0] = 0;
		if (word) {
			memmove(s->was, word + 1, strlen(word));
			s->was[strcspn(s->was, "]")] = 0;
		}
	}
}

static inline void put_settings_back(void)
{
	for (struct setting *s = settings; s->path; s++)
		if (*s->was && write_file(s->path, s->was) < 0)
			fprintf(stderr, "%s could not be set back to %s\n", s->path, s->was);
}

static int play(void);
static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGPIPE };
static volatile sig_atomic_t ended_by;
static volatile pid_t player;

static void on_end(int sig)
{
	ended_by = sig;
	if (player > 0)
		kill(-player, SIGKILL);
}

/* The calls are made by other processes; this one puts back what they set, however they end. */
int main(void)
{
	struct sigaction end = { .sa_handler = on_end };
	int status = 0;

	read_settings();
	for (unsigned int i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		sigaction(ends[i], &end, 0);
	player = fork();
	if (player == 0) {
		setpgid(0, 0);
		for (unsigned int i = 0; i < sizeof(ends) / sizeof(*ends); i++)
			signal(ends[i], SIG_DFL);
		exit(play());
	}
	if (player > 0)
		setpgid(player, player);
	/* A signal may have come before there was a player to end. */
	if (ended_by && player > 0)
		kill(-player, SIGKILL);
	while (player > 0 && waitpid(player, &status, 0) < 0 && errno == EINTR)
		;
	if (player > 0)
		kill(-player, SIGKILL);
	put_settings_back();
	if (ended_by) {
		signal(ended_by, SIG_DFL);
		raise(ended_by);
	}
	return player > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int play(void)
{
	int me = 1, sig;

	turn = mmap(0, 4096, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0);
	signal(SIGSEGV, on_signal);
	signal(SIGBUS, on_signal);
