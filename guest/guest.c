/*
 * The guest program of `ptelab verify --qemu`: the only program of an initramfs.
 *
 * It takes commands from the console, a line each, and answers each with lines that begin with `@`:
 *
 *   @| TEXT               a line of text, before the answer
 *   @* START STEP COUNT   numbers START, START + STEP... (hex), before the answer
 *   @= VALUE              the answer: it went well (hex)
 *   @! ERRNO              the answer: it did not (decimal)
 *   @~ SIGNAL CODE ADDR   the answer: an access got this signal, with si_code and si_addr
 *
 *   start                 ends all processes, puts settings to where a scenario starts, and starts process 1
 *   release               the kernel's release
 *   thp FILE VALUE        writes to /sys/kernel/mm/transparent_hugepage/FILE
 *   clear_refs PID WHAT   writes to /proc/PID/clear_refs
 *   smaps PID             the lines of /proc/PID/smaps that are asked for
 *   words PID|kpageflags|kpagecount INDEX COUNT    words of /proc/PID/pagemap, /proc/kpageflags, /proc/kpagecount
 *   off                   switches the machine off
 *   PID CALL ARG...       a call in a process: crates/kernel/src/command.rs; `fork` gets the number of the child. Beside those
 *                         `spin` answers with the address of a word, and stays in user mode, with that word 1, until `stop` comes;
 *                         `wait MS` stays in user mode for so many milliseconds
 *
 * PIDs are those of the scenario. Process 1 is not this one: init only passes commands on, through a pair of pipes for each
 * process that there may be. Nothing is allocated, so that there is no heap among the memory of a scenario.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define PROCESSES 65
#define LINE 512
#define THP "/sys/kernel/mm/transparent_hugepage/"

typedef unsigned long word;

/* A process of the scenario: its number in this kernel, 0 where it does not live, and its pipes. */
static struct process {
	pid_t pid;
	int commands[2];
	int answers[2];
} processes[PROCESSES];

/* A line from a file, without its end; 0 where there is none. */
static int read_line(int fd, char *line)
{
	int n = 0;
	char c;

	while (read(fd, &c, 1) == 1) {
		if (c == '\n') {
			line[n] = 0;
			return 1;
		}
		if (n < LINE - 1 && c != '\r')
			line[n++] = c;
	}
	return 0;
}

static void die(const char *why)
{
	dprintf(1, "@? %s: errno %d\n", why, errno);
	reboot(RB_POWER_OFF);
}

/* ---- what a process of the scenario does ---- */

static sigjmp_buf fault;
static volatile int fault_signal, fault_code;
static volatile word fault_address;

static void note_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	fault_signal = signal;
	fault_code = info->si_code;
	fault_address = (word)info->si_addr;
	siglongjmp(fault, 1);
}

static void catch_faults(void)
{
	struct sigaction action = { .sa_sigaction = note_fault, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	signal(SIGCHLD, SIG_IGN);
}

/* Writes page by page upwards, the first byte of a page first: the signal names that one. */
static void write_all(word addr, int byte, word len)
{
	word end = addr + len < addr ? ~0UL : addr + len;

	while (addr < end) {
		word here = PAGE - addr % PAGE;

		if (here > end - addr)
			here = end - addr;
		*(volatile char *)addr = byte;
		memset((void *)addr, byte, here);
		addr += here;
	}
}

static void touch(word addr, word len, int write)
{
	for (word offset = 0; offset < len; offset += PAGE) {
		volatile char *byte = (volatile char *)(addr + offset);

		if (write)
			*byte = 1;
		else
			(void)*byte;
	}
}

/* An access; a signal is answered here. */
static void access_memory(int out, const char *call, const word *a)
{
	volatile word value = 0;

	if (sigsetjmp(fault, 1)) {
		dprintf(out, "~ %d %d %lx\n", fault_signal, fault_code, fault_address);
		return;
	}
	if (!strcmp(call, "memset"))
		write_all(a[0], a[1], a[2]);
	else if (!strcmp(call, "touch"))
		touch(a[0], a[1], a[2]);
	else
		value = *(volatile unsigned char *)a[0];
	dprintf(out, "= %lx\n", value);
}

static void play(int self);

static long fork_player(int number)
{
	pid_t child = fork();

	if (child == 0)
		play(number);
	return child;
}

static long system_call(const char *call, const word *a)
{
	word nodes = 1UL << (a[0] & 63);

	if (!strcmp(call, "mmap"))
		return syscall(SYS_mmap, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (!strcmp(call, "munmap"))
		return syscall(SYS_munmap, a[0], a[1]);
	if (!strcmp(call, "mprotect"))
		return syscall(SYS_mprotect, a[0], a[1], a[2]);
	if (!strcmp(call, "madvise"))
		return syscall(SYS_madvise, a[0], a[1], a[2]);
	if (!strcmp(call, "mremap"))
		return syscall(SYS_mremap, a[0], a[1], a[2], a[3], a[4]);
	if (!strcmp(call, "set_mempolicy"))
		return a[0] > 63 ? syscall(SYS_set_mempolicy, 0, 0, 0)
				 : syscall(SYS_set_mempolicy, 2 /* MPOL_BIND */, &nodes, 64);
	if (!strcmp(call, "fork"))
		return fork_player(a[0]);
	errno = ENOSYS;
	return -1;
}

/* Whether this process spins: who stops the machine sees by it whose tables it has before it. */
static volatile word spins;

/* Answers where `spins` is, stays in user mode until a line comes, and answers that. */
static void spin(int in, int out)
{
	struct pollfd next = { .fd = in, .events = POLLIN };
	char line[LINE];

	spins = 1;
	dprintf(out, "= %lx\n", (word)&spins);
	while (poll(&next, 1, 0) == 0)
		for (volatile int i = 0; i < 2000000; i++)
			;
	spins = 0;
	read_line(in, line);
	dprintf(out, "= 0\n");
}

static void spin_for(word milliseconds)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		for (volatile int i = 0; i < 100000; i++)
			;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((word)(now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < milliseconds);
}

static int is_access(const char *call)
{
	return !strcmp(call, "memset") || !strcmp(call, "touch") || !strcmp(call, "read");
}

/* A process of the scenario, from its first command to its end. */
static void play(int self)
{
	int in = processes[self].commands[0], out = processes[self].answers[1];
	char line[LINE], call[32];

	while (read_line(in, line)) {
		word a[6] = { 0 };
		long result;

		sscanf(line, "%31s %lx %lx %lx %lx %lx %lx", call, a, a + 1, a + 2, a + 3, a + 4, a + 5);
		if (is_access(call)) {
			access_memory(out, call, a);
			continue;
		}
		if (!strcmp(call, "spin")) {
			spin(in, out);
			continue;
		}
		if (!strcmp(call, "wait")) {
			spin_for(a[0]);
			dprintf(out, "= 0\n");
			continue;
		}
		result = system_call(call, a);
		if (result == -1)
			dprintf(out, "! %d\n", errno);
		else
			dprintf(out, "= %lx\n", (word)result);
	}
	_exit(0);
}

/* ---- what init does ---- */

static void answer(long result)
{
	if (result < 0)
		dprintf(1, "@! %d\n", errno);
	else
		dprintf(1, "@= %lx\n", (word)result);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), saved;
	long n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

static int write_thp(const char *file, const char *value)
{
	char path[LINE];

	snprintf(path, sizeof(path), THP "%s", file);
	return write_file(path, value);
}

/* The settings that a scenario starts from, and nothing at work on its memory but itself. */
static void settings(void)
{
	char file[64];

	write_thp("enabled", "never");
	write_thp("shmem_enabled", "never");
	for (int kb = 16; kb <= 2048; kb *= 2) {
		snprintf(file, sizeof(file), "hugepages-%dkB/enabled", kb);
		write_thp(file, "never");
		snprintf(file, sizeof(file), "hugepages-%dkB/shmem_enabled", kb);
		write_thp(file, "never");
	}
	write_thp("khugepaged/scan_sleep_millisecs", "4000000000");
	write_thp("khugepaged/pages_to_scan", "1");
	write_thp("khugepaged/max_ptes_none", "0");
	write_file("/sys/kernel/mm/lru_gen/enabled", "0");
	write_file("/proc/sys/vm/drop_caches", "3");
	write_file("/proc/sys/vm/compact_memory", "1");
}

static struct process *find(const char *number)
{
	int n = atoi(number);

	return n > 0 && n < PROCESSES && processes[n].pid ? &processes[n] : NULL;
}

/* Its memory is free when this returns. */
static void end(struct process *process)
{
	kill(process->pid, SIGKILL);
	while (kill(process->pid, 0) == 0)
		usleep(1000);
	process->pid = 0;
}

static void make_pipes(struct process *process)
{
	if (pipe(process->commands) || pipe(process->answers))
		die("pipe");
}

static void start(void)
{
	for (int n = 1; n < PROCESSES; n++) {
		if (processes[n].pid)
			end(&processes[n]);
	}
	settings();
	processes[1].pid = fork_player(1);
	answer(processes[1].pid);
}

/* Passes a call on, and its answer back. */
static void call(const char *number, const char *line)
{
	struct process *process = find(number);
	char back[LINE];
	int child = 0;
	word pid;

	if (!process) {
		errno = ESRCH;
		answer(-1);
		return;
	}
	if (!strncmp(line, "exit", 4)) {
		end(process);
		answer(0);
		return;
	}
	if (sscanf(line, "fork %x", &child) == 1 && (child < 2 || child >= PROCESSES || processes[child].pid)) {
		errno = EAGAIN;
		answer(-1);
		return;
	}
	dprintf(process->commands[1], "%s\n", line);
	if (!read_line(process->answers[0], back))
		die("a process gives no answer");
	if (child && sscanf(back, "= %lx", &pid) == 1) {
		processes[child].pid = pid;
		snprintf(back, sizeof(back), "= %x", child);
	}
	dprintf(1, "@%s\n", back);
}

static int is_wanted(const char *line)
{
	return !(line[0] >= 'A' && line[0] <= 'Z') || !strncmp(line, "Rss:", 4) ||
	       !strncmp(line, "AnonHugePages:", 14) || !strncmp(line, "VmFlags:", 8);
}

static void smaps(struct process *process)
{
	char path[64], line[LINE];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/smaps", process ? process->pid : 0);
	fd = open(path, O_RDONLY);
	if (fd < 0) {
		answer(-1);
		return;
	}
	while (read_line(fd, line)) {
		if (is_wanted(line))
			dprintf(1, "@| %s\n", line);
	}
	close(fd);
	answer(0);
}

/* Numbers that grow evenly are one line. */
static struct {
	uint64_t start, step, count;
} run;

static void flush_run(void)
{
	if (run.count)
		dprintf(1, "@* %llx %llx %llx\n", (unsigned long long)run.start, (unsigned long long)run.step,
			(unsigned long long)run.count);
	run.count = 0;
}

static void add_to_run(uint64_t value)
{
	if (run.count == 1 && (value == run.start || value == run.start + 1))
		run.step = value - run.start;
	else if (!run.count || value != run.start + run.step * run.count) {
		flush_run();
		run.start = value;
		run.step = 0;
	}
	run.count++;
}

static void words(const char *name, word index, word count)
{
	struct process *process = find(name);
	static uint64_t buffer[512];
	char path[64];
	int fd;

	if (process)
		snprintf(path, sizeof(path), "/proc/%d/pagemap", process->pid);
	else
		snprintf(path, sizeof(path), "/proc/%s", name);
	fd = open(path, O_RDONLY);
	if (fd < 0) {
		answer(-1);
		return;
	}
	while (count) {
		word n = count < 512 ? count : 512;
		long got = pread(fd, buffer, n * sizeof(*buffer), index * sizeof(*buffer)) / (long)sizeof(*buffer);

		if (got <= 0)
			break;
		for (long i = 0; i < got; i++)
			add_to_run(buffer[i]);
		index += got;
		count -= got;
	}
	flush_run();
	close(fd);
	answer(0);
}

static void clear_refs(struct process *process, const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", process ? process->pid : 0);
	answer(write_file(path, what));
}

static void release(void)
{
	struct utsname name;

	uname(&name);
	dprintf(1, "@| %s\n", name.release);
	answer(0);
}

static void serve(const char *line)
{
	char first[64] = "", second[64] = "", third[64] = "", fourth[64] = "";
	struct process *process;
	const char *rest = strchr(line, ' ');

	sscanf(line, "%63s %63s %63s %63s", first, second, third, fourth);
	process = find(second);
	if (!strcmp(first, "start"))
		start();
	else if (!strcmp(first, "release"))
		release();
	else if (!strcmp(first, "thp"))
		answer(write_thp(second, third));
	else if (!strcmp(first, "clear_refs"))
		clear_refs(process, third);
	else if (!strcmp(first, "smaps"))
		smaps(process);
	else if (!strcmp(first, "words"))
		words(second, strtoul(third, NULL, 16), strtoul(fourth, NULL, 16));
	else if (!strcmp(first, "off"))
		reboot(RB_POWER_OFF);
	else if (rest)
		call(first, rest + 1);
	else
		dprintf(1, "@? %s\n", line);
}

int main(void)
{
	struct termios console;
	char line[LINE];

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL) || mount("sysfs", "/sys", "sysfs", 0, NULL))
		die("mount");
	if (tcgetattr(0, &console) == 0) {
		cfmakeraw(&console);
		tcsetattr(0, TCSANOW, &console);
	}
	catch_faults();
	for (int n = 1; n < PROCESSES; n++)
		make_pipes(&processes[n]);
	dprintf(1, "\n@= 0\n");
	while (read_line(0, line))
		serve(line);
	die("the console closed");
}
