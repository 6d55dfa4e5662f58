/*
 * The guest program of kernel images under QEMU: the only program of an initramfs.
 *
 * It takes commands from a mailbox: pages of its own memory, which is a file that the other side maps. On the console it says where
 * they are and at which address each process has its marker, and listens for a newline that wakes it; all else there is the kernel's.
 * A command is a line, answered by lines that begin with `@`; any number of commands may come together:
 *
 *   @| TEXT               a line of text, before the answer
 *   @= VALUE              the answer: it went well (hex)
 *   @! ERRNO              the answer: it did not (decimal)
 *   @~ SIGNAL CODE ADDR   the answer: an access got this signal, with si_code and si_addr
 *
 *   start NUMBER          ends all processes, puts settings to where a scenario starts, and starts process 1 with this number in its
 *                         marker; a line says how many bytes are free in pieces as large as a huge page
 *   facts                 what the kernel is and was built with, a line `NAME VALUE` each
 *   thp FILE VALUE        writes to /sys/kernel/mm/transparent_hugepage/FILE
 *   clear_refs PID WHAT   writes to /proc/PID/clear_refs
 *   smaps PID START END   the lines of /proc/PID/smaps that are asked for, of VMAs in this range
 *   pages PID INDEX COUNT what stands for pages of a process, a line `BITS COUNT [FRAME HEAD PAGES MAPPED]` for pages that follow each
 *                         other: bits 63:52 of pagemap's word, and where it is mapped the frame, its folio's first frame and pages, and
 *                         kpagecount
 *   off                   switches the machine off
 *   PID CALL ARG...       a call in a process: crates/real/src/command.rs; `fork` gets the PID of the child, and the number
 *                         in its marker. Beside those
 *                         `userfaultfd` answers with a file descriptor;
 *                         `spin` answers with the address of a word, and stays in user mode, with that word 1, until `stop` comes;
 *                         `wait MS` stays in user mode for so many milliseconds;
 *                         `ticks` answers with the nanoseconds that the call before took
 *
 * PIDs are those of the scenario. Process 1 is not this one, init. The mailbox is memory that all share, and whose turn it is holds it:
 * what a process is asked it does itself, and as long as the next command is for it too nothing but itself runs. A line in its pipe
 * gives the turn to another. Where there are userfaultfds init passes calls on, and reads events meanwhile. Nothing is allocated, so
 * that there is no heap among the memory of a scenario.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <setjmp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* Log2 of the bytes in a page and in a huge page are given: PAGE_SHIFT, HUGE_SHIFT. */
#define PAGE (1UL << PAGE_SHIFT)
#define HUGE (1UL << HUGE_SHIFT)
#define HUGE_ORDER (HUGE_SHIFT - PAGE_SHIFT)
#define PROCESSES 65
#define LINE 512
#define UFFDS 64
#define MOVED 4096
#define REGIONS 4096
#define SWAP_DEVICES 4
#define VMA 768
#define LOOK_AT_MEMORY 8
/* The part of memory below which what is free in large pieces is too little. */
#define ENOUGH 4
#define THP_FILES 64
#define THP "/sys/kernel/mm/transparent_hugepage/"

/* What older headers do not have; their arguments are words: struct pm_scan_arg, struct uffdio_poison. */
#define PAGEMAP_SCAN _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, 12 * sizeof(word))
#define POISON _IOC(_IOC_READ | _IOC_WRITE, UFFDIO, 8, 4 * sizeof(word))

typedef unsigned long word;

#define BOX_SIZE (256UL << 10)
#define BOX_PAGES (BOX_SIZE >> PAGE_SHIFT)
#define BOX_COMMANDS (4UL << 10)
#define BOX_FIRST_ANSWER (32UL << 10)
#define BOX_ANSWERS (BOX_SIZE - BOX_FIRST_ANSWER)
#define BOX_LOOKS 1000000

/* What all processes share. */
static struct shared {
	/* The mailbox: where things are, then commands, then answers (crates/real/src/qemu/mailbox.rs). */
	union box {
		struct {
			/* Numbers of the last commands and answers, and whether a newline on the console is needed. */
			uint32_t asked, answered, sleeps;
			uint32_t command_length, answer_length;
			/* The frames that the pages are in. */
			uint64_t frames[BOX_PAGES];
		};
		char bytes[BOX_SIZE];
	} box;
	/* A process of the scenario, or init: its number in this kernel, 0 where it does not live, and its pipes. */
	struct process {
		pid_t pid;
		int commands[2];
		int answers[2];
	} processes[PROCESSES];
	/* Whose turn it is, the number and the length of the commands that are being done, and where the next one begins. */
	int holder;
	uint32_t taken;
	word length, next;
	/* Whether init passes calls on. */
	int relayed;
	/* Files with settings of huge pages that are not `never`. */
	int changed_count;
	char changed[THP_FILES][64];
} __attribute__((aligned(PAGE))) shared;
#define box shared.box
#define processes shared.processes
static char *const commands = box.bytes + BOX_COMMANDS, *const answers = box.bytes + BOX_FIRST_ANSWER;

/* Which process this is. */
static int self;

/* A page that each process has of its own: by its number the other side knows the tables of the process. */
static union {
	volatile word number;
	char bytes[PAGE];
} marker __attribute__((aligned(PAGE)));

/* The line in a pipe, without its end; 0 where nobody writes to it any more. There is never more than one. */
static int read_line(int fd, char *line)
{
	int n = 0;

	while (n < LINE - 1) {
		int got = read(fd, line + n, LINE - 1 - n);

		if (got <= 0)
			return 0;
		n += got;
		if (line[n - 1] == '\n') {
			line[n - 1] = 0;
			return 1;
		}
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

static void leave_fault(void)
{
	siglongjmp(fault, 1);
}

static void note_fault(int signal, siginfo_t *info, void *context)
{
	fault_signal = signal;
	fault_code = info->si_code;
	fault_address = (word)info->si_addr;
#ifdef __x86_64__
	/* Rights of protection keys come back only by returning: the jump is made from where the access was. */
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	regs[REG_RSP] = ((regs[REG_RSP] - 128) & ~15L) - 8;
	regs[REG_RIP] = (greg_t)leave_fault;
#else
	(void)context;
	leave_fault();
#endif
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

/* An access, or a page that fails; what it comes to, a signal too, is the answer. */
static void access_memory(const char *call, const word *a, char *answer)
{
	volatile word value = 0;

	if (sigsetjmp(fault, 1)) {
		sprintf(answer, "~ %d %d %lx\n", fault_signal, fault_code, fault_address);
		return;
	}
	if (!strcmp(call, "memset"))
		write_all(a[0], a[1], a[2]);
	else if (!strcmp(call, "explicit_bzero"))
		write_all(a[0], 0, a[1]);
	else if (!strcmp(call, "touch"))
		touch(a[0], a[1], a[2]);
	else if (!strcmp(call, "hwpoison")) {
		if (syscall(SYS_madvise, a[0], PAGE, 100 /* MADV_HWPOISON */)) {
			sprintf(answer, "! %d\n", errno);
			return;
		}
	} else
		value = *(volatile unsigned char *)a[0];
	sprintf(answer, "= %lx\n", value);
}

static void play(int self);

static long fork_player(int player, word number)
{
	pid_t child = fork();

	if (child == 0) {
		marker.number = number;
		play(player);
	}
	return child;
}

/* How many regions are found; a: address, length, flags, mask, return mask, pages at most. */
static long pagemap_scan(const word *a)
{
	static word regions[3 * REGIONS];
	word arg[12] = { sizeof(arg), a[2], a[0], a[0] + a[1], 0, (word)regions, REGIONS, a[5], 0, a[3], 0, a[4] };
	int fd = open("/proc/self/pagemap", O_RDONLY), saved;
	long found = ioctl(fd, PAGEMAP_SCAN, arg);

	saved = errno;
	close(fd);
	errno = saved;
	return found;
}

/* Moves the pages of a range, whoever maps them too, from the one to the other of two nodes. One by one, as a folio is split
   whose pages are told of together. */
static long move_pages(word addr, word len)
{
	static int nodes[MOVED];
	word n = 0;

	for (word at = addr; at < addr + len && n < MOVED; at += PAGE, n++) {
		if (syscall(SYS_move_pages, 0, 1, &at, NULL, &nodes[n], 0))
			return -1;
	}
	for (word i = 0; i < n; i++) {
		word page = addr + i * PAGE;
		int node = nodes[i] == 0, status;

		if (syscall(SYS_move_pages, 0, 1, &page, &node, &status, 4 /* MPOL_MF_MOVE_ALL */) < 0)
			return -1;
	}
	return 0;
}

/* Calls that are system calls, with the arguments as they are. */
static const struct {
	const char *name;
	long number;
} system_calls[] = {
	{ "munmap", SYS_munmap },	  { "mprotect", SYS_mprotect },	  { "madvise", SYS_madvise },
	{ "mremap", SYS_mremap },	  { "mlock", SYS_mlock },	  { "mlock2", SYS_mlock2 },
	{ "munlock", SYS_munlock },	  { "munlockall", SYS_munlockall }, { "msync", SYS_msync },
	{ "pkey_alloc", SYS_pkey_alloc }, { "pkey_free", SYS_pkey_free }, { "pkey_mprotect", SYS_pkey_mprotect },
	{ "mseal", 462 /* SYS_mseal, which older headers do not have */ },
};

/* Flags are given as most architectures have them. */
static const struct {
	word given, here;
} mmap_flags[] = { { 0x2000, MAP_LOCKED }, { 0x4000, MAP_NORESERVE } },
  mlockall_flags[] = { { 1, MCL_CURRENT }, { 2, MCL_FUTURE }, { 4, MCL_ONFAULT } };

#define FLAGS_HERE(flags, table) ({                                                        \
	word all = (flags), here = 0;                                                      \
                                                                                           \
	for (unsigned int i = 0; i < sizeof(table) / sizeof(*(table)); i++) {              \
		if (all & (table)[i].given)                                                \
			here |= (table)[i].here;                                           \
		all &= ~(table)[i].given;                                                  \
	}                                                                                  \
	all | here;                                                                        \
})

static long make_mapping(const word *a)
{
	word args[6] = { a[0], a[1], a[2], FLAGS_HERE(a[3], mmap_flags), a[4], a[5] };

#ifdef __s390x__
	return syscall(SYS_mmap, args);
#else
	return syscall(SYS_mmap, args[0], args[1], args[2], args[3], args[4], args[5]);
#endif
}

static long system_call(const char *call, const word *a)
{
	word nodes = 1UL << (a[0] & 63);

	if (!strcmp(call, "mmap"))
		return make_mapping(a);
	if (!strcmp(call, "mlockall"))
		return syscall(SYS_mlockall, FLAGS_HERE(a[0], mlockall_flags));
	for (unsigned int i = 0; i < sizeof(system_calls) / sizeof(*system_calls); i++) {
		if (!strcmp(call, system_calls[i].name))
			return syscall(system_calls[i].number, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
	if (!strcmp(call, "reclaim"))
		return syscall(SYS_madvise, a[0], a[1], 21 /* MADV_PAGEOUT */);
	if (!strcmp(call, "soft_offline"))
		return syscall(SYS_madvise, a[0], PAGE, 101 /* MADV_SOFT_OFFLINE */);
	if (!strcmp(call, "numa_alloc"))
		return a[0] > 63 ? syscall(SYS_set_mempolicy, 0, 0, 0)
				 : syscall(SYS_set_mempolicy, 2 /* MPOL_BIND */, &nodes, 64);
	if (!strcmp(call, "fork"))
		return fork_player(a[0], a[1]);
	if (!strcmp(call, "pagemap_scan"))
		return pagemap_scan(a);
	if (!strcmp(call, "migrate_end"))
		return move_pages(a[0], a[1]);
	if (!strcmp(call, "userfaultfd"))
		return syscall(SYS_userfaultfd, O_NONBLOCK | O_CLOEXEC);
	errno = ENOSYS;
	return -1;
}

/* Whether this process spins: who stops the machine sees by it whose tables it has before it. */
static volatile word spins;

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

/* The CPU's own clock, read without the kernel's help. */
static word clock_now(void)
{
#ifdef __aarch64__
	word ticks, frequency;

	asm volatile("isb; mrs %0, cntvct_el0; mrs %1, cntfrq_el0" : "=r"(ticks), "=r"(frequency)::"memory");
	return ticks * (1000000000UL / frequency);
#elif defined(__x86_64__)
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (word)high << 32 | low;
#else
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return now.tv_sec * 1000000000UL + now.tv_nsec;
#endif
}

static int is_access(const char *call)
{
	return !strcmp(call, "memset") || !strcmp(call, "explicit_bzero") || !strcmp(call, "touch") ||
	       !strcmp(call, "check") || !strcmp(call, "hwpoison");
}

/* What a process is asked; the answer is a line. */
static void play_call(const char *line, char *answer)
{
	static word ticks;
	char call[32] = "";
	word a[6] = { 0 }, begun;
	long result;

	sscanf(line, "%31s %lx %lx %lx %lx %lx %lx", call, a, a + 1, a + 2, a + 3, a + 4, a + 5);
	if (!strcmp(call, "ticks")) {
		sprintf(answer, "= %lx\n", ticks);
	} else if (!strcmp(call, "spin")) {
		spins = 1;
		sprintf(answer, "= %lx\n", (word)&spins);
	} else if (!strcmp(call, "wait")) {
		spin_for(a[0]);
		sprintf(answer, "= 0\n");
	} else if (is_access(call)) {
		begun = clock_now();
		access_memory(call, a, answer);
		ticks = clock_now() - begun;
	} else {
		begun = clock_now();
		result = system_call(call, a);
		ticks = clock_now() - begun;
		if (result == -1)
			sprintf(answer, "! %d\n", errno);
		else
			sprintf(answer, "= %lx\n", (word)result);
	}
}

static void hold(void);

/* A process of the scenario, from its first command to its end. It says when it is there. */
static void play(int number)
{
	int in = processes[number].commands[0], out = processes[number].answers[1];
	char line[LINE], answer[64];

	self = number;
	dprintf(out, "= 0\n");
	while (read_line(in, line)) {
		if (!strcmp(line, "turn")) {
			hold();
		} else {
			play_call(line, answer);
			dprintf(out, "%s", answer);
		}
	}
	_exit(0);
}

/* ---- the mailbox ---- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What does not fit is left out, with the answer, so that it is not taken for one. */
static void say(const char *format, ...)
{
	word room = BOX_ANSWERS - box.answer_length;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(answers + box.answer_length, room, format, arguments);
	va_end(arguments);
	if (n >= 0 && (word)n < room)
		box.answer_length += n;
	else
		box.answer_length = BOX_ANSWERS;
}

static void say_bytes(const char *bytes, word n)
{
	if (n >= BOX_ANSWERS - box.answer_length) {
		box.answer_length = BOX_ANSWERS;
		return;
	}
	memcpy(answers + box.answer_length, bytes, n);
	box.answer_length += n;
}

/* A line of numbers in hex: there are many of them. */
static void say_numbers(const word *numbers, int count)
{
	char line[160] = "@|", *at = line + 2;

	for (int n = 0; n < count; n++) {
		int shift = 60;

		while (shift && !(numbers[n] >> shift))
			shift -= 4;
		*at++ = ' ';
		for (; shift >= 0; shift -= 4)
			*at++ = "0123456789abcdef"[numbers[n] >> shift & 15];
	}
	*at++ = '\n';
	say_bytes(line, at - line);
}

/* Pages that nobody moves, as a pipe holds them too. */
static void set_up_box(void)
{
	int held[2], pagemap = open("/proc/self/pagemap", O_RDONLY);
	struct iovec all = { &box, sizeof(box) };

	if (mmap(&shared, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != &shared)
		die("mmap");
	memset(&box, 0, sizeof(box));
	if (pipe(held) ||
	    fcntl(held[1], F_SETPIPE_SZ, sizeof(box)) < (int)sizeof(box) || vmsplice(held[1], &all, 1, 0) != sizeof(box))
		die("the mailbox");
	if (pread(pagemap, box.frames, sizeof(box.frames), (word)&box / PAGE * 8) != sizeof(box.frames))
		die("/proc/self/pagemap (CONFIG_PROC_PAGE_MONITOR)");
	close(pagemap);
	for (word i = 0; i < BOX_PAGES; i++)
		box.frames[i] &= (1UL << 55) - 1;
	dprintf(1, "\n@box %llx %lx\n", (unsigned long long)box.frames[0], (word)&marker);
}

static uint32_t look(const uint32_t *number)
{
	return __atomic_load_n(number, __ATOMIC_SEQ_CST);
}

/* Waits for the next command: first by looking, for some milliseconds, then for a newline. */
static void wait_for_command(void)
{
	static char newlines[64];

	while (spins && look(&box.asked) == look(&box.answered))
		;
	spins = 0;
	for (int i = 0; i < BOX_LOOKS; i++) {
		if (look(&box.asked) != look(&box.answered))
			return;
	}
	while (look(&box.asked) == look(&box.answered)) {
		__atomic_store_n(&box.sleeps, 1, __ATOMIC_SEQ_CST);
		if (look(&box.asked) == look(&box.answered) && read(0, newlines, sizeof(newlines)) <= 0)
			die("the console closed");
		__atomic_store_n(&box.sleeps, 0, __ATOMIC_SEQ_CST);
	}
}

/* ---- what init does ---- */

static void answer(long result)
{
	if (result < 0)
		say("@! %d\n", errno);
	else
		say("@= %lx\n", (word)result);
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
	int n = 0;

	while (n < shared.changed_count && strcmp(shared.changed[n], file))
		n++;
	if (n == shared.changed_count && n < THP_FILES && strcmp(value, "never"))
		snprintf(shared.changed[shared.changed_count++], sizeof(shared.changed[0]), "%s", file);
	snprintf(path, sizeof(path), THP "%s", file);
	return write_file(path, value);
}

static void settings_back(void)
{
	while (shared.changed_count)
		write_thp(shared.changed[--shared.changed_count], "never");
}

/* The settings that a scenario starts from, and nothing at work on its memory but itself. */
static void settings(void)
{
	char file[64];

	write_thp("enabled", "never");
	write_thp("shmem_enabled", "never");
	for (word kb = 2 * PAGE >> 10; kb <= HUGE >> 10; kb *= 2) {
		snprintf(file, sizeof(file), "hugepages-%lukB/enabled", kb);
		write_thp(file, "never");
		snprintf(file, sizeof(file), "hugepages-%lukB/shmem_enabled", kb);
		write_thp(file, "never");
	}
	write_file(THP "khugepaged/scan_sleep_millisecs", "4000000000");
	write_file(THP "khugepaged/pages_to_scan", "1");
	write_file(THP "khugepaged/max_ptes_none", "0");
	write_file("/sys/kernel/mm/lru_gen/enabled", "0");
	/* What a kernel warns of once, it warns each scenario of. */
	write_file("/sys/kernel/debug/clear_warn_once", "1");
}

/*
 * Asleep or not, khugepaged looks at some memory whenever huge leaves are switched on, and would put a scenario's folios together. It
 * takes processes in the order in which they came, and does not get through the empty memory of this one.
 */
static void occupy_khugepaged(void)
{
	char path[LINE], *memory = MAP_FAILED;
	word size = 1UL << 41;

	while (memory == MAP_FAILED && (size >>= 1) > 1UL << 34)
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return;
	/* Only memory of which a page is in use is looked at. */
	*(volatile char *)memory = 1;
	snprintf(path, sizeof(path), THP "hugepages-%lukB/enabled", HUGE >> 10);
	write_file(path, "madvise");
	madvise(memory, size, MADV_HUGEPAGE);
	madvise(memory, size, MADV_DONTFORK);
	write_file(path, "never");
}

/* Bytes of free memory in pieces that are as large as a huge page. */
static word free_in_pieces(void)
{
	static char text[4096];
	int fd = open("/proc/buddyinfo", O_RDONLY), n = read(fd, text, sizeof(text) - 1);
	word sum = 0;

	close(fd);
	text[n > 0 ? n : 0] = 0;
	/* `Node 0, zone    DMA32     12     7 ...`: free pieces by order. */
	for (char *line = strstr(text, "zone"); line; line = strstr(line, "zone")) {
		char *end;

		line += 4;
		line += strspn(line, " ");
		line += strcspn(line, " ");
		for (int order = 0; line[strspn(line, " ")] != '\n'; order++, line = end) {
			word count = strtoul(line, &end, 10);

			if (end == line)
				break;
			if (order >= HUGE_ORDER)
				sum += (count << order) * PAGE;
		}
	}
	return sum;
}

/* A number from a file, after a text in it. */
static word number_in(const char *path, const char *after)
{
	static char text[4096];
	int fd = open(path, O_RDONLY), n = read(fd, text, sizeof(text) - 1);
	const char *found;

	close(fd);
	text[n > 0 ? n : 0] = 0;
	found = strstr(text, after);
	return found ? strtoul(found + strlen(after), NULL, 10) : 0;
}

/* Memory in large pieces, as after boot. How many there are is looked at now and then. */
static word tidy_memory(void)
{
	static word all, free, starts;

	if (starts++ % LOOK_AT_MEMORY == 0)
		free = free_in_pieces();
	if (starts == 1)
		all = number_in("/proc/meminfo", "MemTotal:") << 10;
	if (starts == 1 || free < all / ENOUGH) {
		write_file("/proc/sys/vm/drop_caches", "3");
		write_file("/proc/sys/vm/compact_memory", "1");
		free = free_in_pieces();
	}
	return free;
}

static struct process *find(const char *number)
{
	int n = atoi(number);

	return n > 0 && n < PROCESSES && processes[n].pid ? &processes[n] : NULL;
}

static int number_of(const struct process *process)
{
	return process - processes;
}

/* ---- userfaultfd: its calls are made here, as a process that forks or moves memory waits until the event is read ---- */

static struct uffd {
	int process;
	word features;
	int fd;
	int inherited;
} uffds[UFFDS];
static int uffd_count;

/*
 * QEMU's powerpc keeps what a read translated as writable even where the page is clean, so that a write that follows does not make it
 * dirty. Another address space takes such translations away: calls pass through init.
 */
#ifdef __powerpc64__
#define ALWAYS_RELAYED 1
#else
#define ALWAYS_RELAYED 0
#endif

static void add_uffd(int process, word features, int fd, int inherited)
{
	if (uffd_count == UFFDS)
		die("too many userfaultfds");
	uffds[uffd_count++] = (struct uffd){ process, features, fd, inherited };
	shared.relayed = 1;
}

static void close_uffds(void)
{
	while (uffd_count)
		close(uffds[--uffd_count].fd);
	shared.relayed = ALWAYS_RELAYED;
}

/* The news of a fork brings the child's own. */
static void read_event(const struct uffd *uffd, int child)
{
	struct uffd_msg message;

	if (read(uffd->fd, &message, sizeof(message)) == sizeof(message) && message.event == UFFD_EVENT_FORK)
		add_uffd(child, uffd->features, message.arg.fork.ufd, 1);
}

/* Waits for a process's answer, and reads events meanwhile. */
static void read_answer(struct process *process, int child, char *line)
{
	struct pollfd fds[UFFDS + 1];

	do {
		int n = uffd_count;

		for (int i = 0; i < n; i++)
			fds[i] = (struct pollfd){ .fd = uffds[i].fd, .events = POLLIN };
		fds[n] = (struct pollfd){ .fd = process->answers[0], .events = POLLIN };
		poll(fds, n + 1, -1);
		for (int i = 0; i < n; i++) {
			if (fds[i].revents & POLLIN)
				read_event(&uffds[i], child);
		}
		fds[0] = fds[n];
	} while (!fds[0].revents);
	if (!read_line(process->answers[0], line))
		die("a process gives no answer");
}

/* The userfaultfd with these features that a process opened, not one that it has from a fork: a file descriptor of ours. */
static int open_uffd(struct process *process, word features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features | UFFD_FEATURE_SIGBUS };
	char line[LINE];
	word theirs;
	int pidfd, fd;

	for (int i = 0; i < uffd_count; i++) {
		if (uffds[i].process == number_of(process) && uffds[i].features == features && !uffds[i].inherited)
			return uffds[i].fd;
	}
	dprintf(process->commands[1], "userfaultfd\n");
	read_answer(process, 0, line);
	if (sscanf(line, "= %lx", &theirs) != 1) {
		sscanf(line, "! %d", &errno);
		return -1;
	}
	pidfd = syscall(SYS_pidfd_open, process->pid, 0);
	fd = syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	close(pidfd);
	if (fd < 0)
		return -1;
	if (ioctl(fd, UFFDIO_API, &api)) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	add_uffd(number_of(process), features, fd, 0);
	return fd;
}

static long uffd_register(struct process *process, const word *a)
{
	word mode = a[2] & UFFD_FEATURE_PAGEFAULT_FLAG_WP ? UFFDIO_REGISTER_MODE_WP : 0;
	struct uffdio_register arg = { .range = { a[0], a[1] }, .mode = mode };
	int fd = open_uffd(process, a[2]);

	return fd < 0 ? -1 : ioctl(fd, UFFDIO_REGISTER, &arg);
}

/* Asks each userfaultfd that a process has, until one can; what an ioctl has begun is not done again by the next. */
static long uffd_range(struct process *process, unsigned long request, word addr, word len, word mode)
{
	long result = -1;
	int asked = 0;

	for (int i = 0; i < uffd_count && (!asked || result && errno == EINVAL); i++) {
		word arg[4] = { addr, len, mode, 0 };

		if (uffds[i].process == number_of(process)) {
			result = ioctl(uffds[i].fd, request, arg);
			asked = 1;
		}
	}
	/* Not every kernel has write protection. */
	if (!asked && (open_uffd(process, UFFD_FEATURE_PAGEFAULT_FLAG_WP) >= 0 || open_uffd(process, 0) >= 0))
		return uffd_range(process, request, addr, len, mode);
	return result;
}

/* ---- what the kernel is told of a process from outside ---- */

static long split_folio(struct process *process, word addr, word order)
{
	char text[LINE];

	snprintf(text, sizeof(text), "%d,0x%lx,0x%lx,%lu", process->pid, addr, addr + PAGE, order);
	return write_file("/sys/kernel/debug/split_huge_pages", text);
}

static int devices;

/* A disk in memory, of which so many bytes are used. */
static long swap_on(word size)
{
	static char page[PAGE];
	static int loaded;
	unsigned int info[2] = { 1, size / PAGE - 1 };
	char path[64];
	int fd;

	if (!loaded) {
		fd = open("/brd.ko", O_RDONLY);
		if (fd < 0 || syscall(SYS_finit_module, fd, "rd_nr=4 rd_size=262144", 0))
			return -1;
		close(fd);
		write_file("/proc/sys/vm/page-cluster", "0");
		loaded = 1;
	}
	if (devices == SWAP_DEVICES || size < PAGE) {
		errno = devices == SWAP_DEVICES ? EPERM : EINVAL;
		return -1;
	}
	snprintf(path, sizeof(path), "/dev/swap%d", devices);
	if (mknod(path, S_IFBLK | 0600, makedev(1, devices++)) && errno != EEXIST)
		return -1;
	memcpy(page + 1024, info, sizeof(info));
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, page, PAGE) != PAGE || fsync(fd))
		return -1;
	close(fd);
	return swapon(path, 0);
}

static void swap_off_last(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/swap%d", --devices);
	swapoff(path);
}

/* Turns swap off. Kernels before 6.15 take slots ahead, and go on to do so on the next device, unless a page goes to a small one. */
static void swap_off(void)
{
	int used = devices;
	char *page;

	while (devices)
		swap_off_last();
	if (!used || swap_on(64 * PAGE))
		return;
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page != MAP_FAILED) {
		*page = 1;
		madvise(page, PAGE, 21 /* MADV_PAGEOUT */);
		munmap(page, PAGE);
	}
	swap_off_last();
}

/* Whether init makes a call; then its result is there. */
static int managed(struct process *process, const char *line, long *result)
{
	char call[32] = "";
	word a[3] = { 0 };

	sscanf(line, "%31s %lx %lx %lx", call, a, a + 1, a + 2);
	if (!strcmp(call, "uffd"))
		*result = uffd_register(process, a);
	else if (!strcmp(call, "uffd_unregister"))
		*result = uffd_range(process, UFFDIO_UNREGISTER, a[0], a[1], 0);
	else if (!strcmp(call, "uffd_wp"))
		*result = uffd_range(process, UFFDIO_WRITEPROTECT, a[0], a[1], a[2] == 0 /* on */);
	else if (!strcmp(call, "uffd_poison"))
		*result = uffd_range(process, POISON, a[0], a[1], 0);
	else if (!strcmp(call, "split_folio"))
		*result = split_folio(process, a[0], a[1]);
	else if (!strcmp(call, "swapon"))
		*result = swap_on(a[0]);
	else
		return 0;
	return 1;
}

/* Its memory is free when this returns. */
static void end(struct process *process)
{
	kill(process->pid, SIGKILL);
	while (kill(process->pid, 0) == 0)
		sched_yield();
	process->pid = 0;
}

static void make_pipes(struct process *process)
{
	if (pipe(process->commands) || pipe(process->answers))
		die("pipe");
}

/* Empties the batches of folios on their way to lists, as many calls do first. */
static void drain(void)
{
	madvise(&marker, PAGE, 20 /* MADV_COLD */);
}

/* Waits until a process is there. */
static void meet(const struct process *process)
{
	char line[LINE];

	if (!read_line(process->answers[0], line))
		die("a process does not begin");
}

static void start(word number)
{
	close_uffds();
	for (int n = 1; n < PROCESSES; n++) {
		if (processes[n].pid)
			end(&processes[n]);
	}
	swap_off();
	settings_back();
	drain();
	say("@| %lu\n", tidy_memory());
	processes[1].pid = fork_player(1, number);
	if (processes[1].pid > 0)
		meet(&processes[1]);
	answer(processes[1].pid);
}

/* Notes the child that a process was asked for, if it was made. */
static void note_child(int child, char *answer)
{
	word pid;

	if (!child || sscanf(answer, "= %lx", &pid) != 1)
		return;
	processes[child].pid = pid;
	meet(&processes[child]);
	sprintf(answer, "= %x\n", child);
}

/* Makes a call in this process, or passes it on, and its answer back. */
static void call(const char *number, const char *line)
{
	struct process *process = find(number);
	char back[LINE];
	int child = 0;
	long result;

	if (!process) {
		errno = ESRCH;
		answer(-1);
		return;
	}
	if (!strncmp(line, "exit_group", 10)) {
		end(process);
		answer(0);
		return;
	}
	if (sscanf(line, "fork %x", &child) == 1 && (child < 2 || child >= PROCESSES || processes[child].pid)) {
		errno = EAGAIN;
		answer(-1);
		return;
	}
	if (number_of(process) == self) {
		play_call(line, back);
		note_child(child, back);
		say("@%s", back);
		return;
	}
	if (managed(process, line, &result)) {
		answer(result);
		return;
	}
	dprintf(process->commands[1], "%s\n", line);
	read_answer(process, child, back);
	strcat(back, "\n");
	note_child(child, back);
	say("@%s", back);
}

/* A file of this process, at its beginning. It stays open, but not for a child. */
static int open_own(const char *path, int *fd, int *owner)
{
	if (*owner != self) {
		if (*owner)
			close(*fd);
		*fd = open(path, O_RDONLY);
		*owner = self;
	}
	return lseek(*fd, 0, SEEK_SET) < 0 ? -1 : *fd;
}

static int is_wanted(const char *line)
{
	return line[0] == 'V' || (line[0] == 'R' && line[1] == 's') || (line[0] == 'A' && line[4] == 'H');
}

static void say_line(const char *line, const char *end)
{
	say_bytes("@| ", 3);
	say_bytes(line, end - line);
}

/* Reads one VMA at a time, and no further than to one behind the range. */
static void smaps(word start, word end)
{
	static char text[VMA + PAGE];
	static int file, owner;
	int fd = open_own("/proc/self/smaps", &file, &owner), n = 0, got, inside = 0;

	if (fd < 0) {
		answer(-1);
		return;
	}
	while ((got = read(fd, text + n, VMA)) > 0) {
		char *line = text, *newline;

		n += got;
		for (; (newline = memchr(line, '\n', text + n - line)); line = newline + 1) {
			if (!(line[0] >= 'A' && line[0] <= 'Z')) {
				char *rest;
				word first = strtoul(line, &rest, 16), last = strtoul(rest + 1, NULL, 16);

				inside = first < end && start < last;
				if (first >= end) {
					answer(0);
					return;
				}
				if (inside)
					say_line(line, newline + 1);
			} else if (inside && is_wanted(line))
				say_line(line, newline + 1);
		}
		n -= line - text;
		memmove(text, line, n);
	}
	answer(0);
}

#define BLOCK 32
#define BLOCKS 64

/* What /proc/kpageflags and /proc/kpagecount say of frames that stand together. */
struct block {
	word number;
	uint64_t flags[BLOCK], counts[BLOCK];
};
static struct block blocks[BLOCKS];

static void forget_blocks(void)
{
	for (int n = 0; n < BLOCKS; n++)
		blocks[n].number = ~0UL;
}

static const struct block *block_of(word frame)
{
	static int flags, counts;
	word number = frame / BLOCK, at = number * sizeof(blocks->flags);
	struct block *block = &blocks[number % BLOCKS];

	if (block->number == number)
		return block;
	if (!flags) {
		flags = open("/proc/kpageflags", O_RDONLY);
		counts = open("/proc/kpagecount", O_RDONLY);
	}
	memset(block, 0, sizeof(*block));
	block->number = number;
	pread(flags, block->flags, sizeof(block->flags), at);
	pread(counts, block->counts, sizeof(block->counts), at);
	return block;
}

static uint64_t flags_of(word frame)
{
	return block_of(frame)->flags[frame % BLOCK];
}

#define HEAD (1UL << 15)
#define TAIL (1UL << 16)

/* The first frame and the pages of the folio of a frame; a folio lies at a multiple of its size. */
static void find_folio(word frame, word *head, word *pages)
{
	*head = frame;
	*pages = 1;
	if (!(flags_of(frame) & (HEAD | TAIL)))
		return;
	for (int order = 1; order <= HUGE_ORDER + 1 && !(flags_of(*head) & HEAD); order++)
		*head = frame & ~((1UL << order) - 1);
	while (*pages <= 1UL << HUGE_ORDER && flags_of(*head + *pages) & TAIL)
		*pages *= 2;
}

/* Pages that follow each other, and are alike. */
struct alike {
	word bits, count, frame, head, pages, mapped;
};

static void say_alike(const struct alike *a)
{
	if (a->count)
		say_numbers(&a->bits, a->frame ? 6 : 2);
}

static void pages(word index, word count)
{
	static uint64_t buffer[512];
	static int file, owner;
	struct alike last = { 0 };
	int fd = open_own("/proc/self/pagemap", &file, &owner);

	if (fd < 0) {
		answer(-1);
		return;
	}
	forget_blocks();
	while (count) {
		word n = count < 512 ? count : 512;
		long got = pread(fd, buffer, n * sizeof(*buffer), index * sizeof(*buffer)) / (long)sizeof(*buffer);

		if (got <= 0)
			break;
		for (long i = 0; i < got; i++) {
			word present = buffer[i] >> 63, frame = present ? buffer[i] & ((1UL << 55) - 1) : 0;
			struct alike now = { .bits = buffer[i] >> 52, .count = 1, .frame = frame };

			if (frame && frame - last.head < last.pages && last.frame) {
				now.head = last.head;
				now.pages = last.pages;
			} else if (frame)
				find_folio(frame, &now.head, &now.pages);
			if (frame)
				now.mapped = block_of(frame)->counts[frame % BLOCK];
			if (last.count && now.bits == last.bits && now.head == last.head && now.pages == last.pages &&
			    now.mapped == last.mapped && (frame ? frame == last.frame + last.count : !last.frame)) {
				last.count++;
				continue;
			}
			say_alike(&last);
			last = now;
		}
		index += got;
		count -= got;
	}
	say_alike(&last);
	answer(0);
}

/* ---- what the kernel is ---- */

static int there_is(const char *path)
{
	return access(path, F_OK) == 0;
}

static void flag(const char *name, const char *path)
{
	say("@| %s %d\n", name, there_is(path));
}

/* What pagemap says of a new page that was written to, or that failed after that. */
static uint64_t pagemap_of_page(int fails)
{
	volatile char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	*page = 1;
	if (fails && !sigsetjmp(fault, 1))
		madvise((void *)page, PAGE, 100 /* MADV_HWPOISON */);
	pread(fd, &entry, sizeof(entry), (word)page / PAGE * sizeof(entry));
	close(fd);
	munmap((void *)page, PAGE);
	return entry;
}

/* Whether memory that was never looked at is soft-dirty. */
static int soft_dirty(void)
{
	return pagemap_of_page(0) >> 55 & 1;
}

/* The type of failed memory's entries, 0 where no memory fails. */
static unsigned int failed_type(void)
{
	uint64_t entry = pagemap_of_page(1);

	return entry >> 62 == 1 ? entry & 31 : 0;
}

/* Bytes of this process's tables. */
static word tables(void)
{
	return number_in("/proc/self/status", "VmPTE:") << 10;
}

/* Whether a table that is emptied is freed. */
static int frees_tables(void)
{
	word size = 2 * HUGE, before;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *page = (char *)(((word)memory + (size >> 1) - 1) & ~((size >> 1) - 1));

	*(volatile char *)page = 1;
	before = tables();
	madvise(page, size >> 1, MADV_DONTNEED);
	before -= tables();
	munmap(memory, size);
	return before != 0;
}

/* The features of userfaultfd, 0 where there is none. */
static word uffd_features(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return 0;
	ioctl(fd, UFFDIO_API, &api);
	close(fd);
	return api.features;
}

/* Whether there is advice on huge pages. */
static int knows_huge_pages(void)
{
	char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int knows = !madvise(memory, PAGE, MADV_HUGEPAGE);

	munmap(memory, PAGE);
	return knows;
}

/* Whether there are larger addresses than programs get unless they ask; not where to ask makes tables grow. */
static int wide(void)
{
#if defined(__aarch64__) || defined(__x86_64__)
	char *page = mmap((void *)(1UL << 50), PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(page, PAGE);
	return (word)page >> 48 != 0;
#else
	return 0;
#endif
}

static void facts(void)
{
	struct utsname name;
	char path[64];
	int nodes = 0;

	uname(&name);
	say("@| release %s\n@| soft_dirty %d\n@| uffd %lx\n", name.release, soft_dirty(), uffd_features());
	say("@| memory %lx\n", number_in("/proc/meminfo", "MemTotal:") << 10);
	for (word kb = 2 * PAGE >> 10; kb <= HUGE >> 10; kb *= 2) {
		snprintf(path, sizeof(path), THP "hugepages-%lukB", kb);
		if (there_is(path))
			say("@| thp %lx\n", kb);
	}
	while (snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", nodes), there_is(path))
		nodes++;
	say("@| nodes %x\n", nodes ? nodes : 1);
	say("@| pt_reclaim %d\n@| failed_type %x\n@| wide %d\n", frees_tables(), failed_type(), wide());
	flag("swap", "/proc/swaps");
	flag("compaction", "/proc/sys/vm/compact_memory");
	/* A kernel that knows them has settings of them only where the machine has their leaves. */
	say("@| huge %d\n@| huge_leaves %d\n", knows_huge_pages(), !knows_huge_pages() || there_is(THP "enabled"));
	flag("shmem", "/proc/sys/kernel/shmmax");
	flag("numa_balancing", "/proc/sys/kernel/numa_balancing");
	flag("memory_failure", "/proc/sys/vm/memory_failure_recovery");
	flag("split_huge_pages", "/sys/kernel/debug/split_huge_pages");
	flag("clear_refs", "/proc/self/clear_refs");
	flag("kpageflags", "/proc/kpageflags");
	flag("brd", "/brd.ko");
	answer(0);
}

/* Calls that init makes. */
static int is_managed(const char *call)
{
	return !strncmp(call, "uffd", 4) || !strcmp(call, "split_folio") || !strcmp(call, "swapon") || !strcmp(call, "exit_group");
}

static int may_be_relayed(const char *call)
{
	return strcmp(call, "spin") && strcmp(call, "stop") && strcmp(call, "ticks") && strcmp(call, "wait");
}

/* Who does what a line says. */
static int whose(const char *first, const char *second)
{
	const struct process *process;

	if (!strcmp(first, "thp"))
		return self;
	if (!strcmp(first, "smaps") || !strcmp(first, "pages"))
		process = find(second);
	/* Not by the process itself: the kernel leaves old translations in the TLB, and another address space takes them away. */
	else if (!strcmp(first, "clear_refs"))
		process = NULL;
	else if (is_managed(second) || (shared.relayed && may_be_relayed(second)))
		process = NULL;
	else
		process = find(first);
	return process ? number_of(process) : 0;
}

static void clear_refs(const struct process *process, const char *what)
{
	char path[64];

	static int soft_dirties = -1;
	long result;

	if (soft_dirties < 0)
		soft_dirties = soft_dirty();
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", process->pid);
	result = write_file(path, what);
	/* Translations that the CPU keeps would hide that pages are old. Where nothing is soft-dirty this does no more than flush them. */
	if (!soft_dirties)
		write_file(path, "4");
	answer(result);
}

/* Does what a line says; not where that is another's turn. */
static int serve(const char *line)
{
	char first[64] = "", second[64] = "", third[64] = "", fourth[64] = "";
	const char *rest = strchr(line, ' ');
	int who;

	sscanf(line, "%63s %63s %63s %63s", first, second, third, fourth);
	who = whose(first, second);
	if (who != self) {
		shared.holder = who;
		dprintf(processes[who].commands[1], "turn\n");
		return 0;
	}
	if (!strcmp(first, "start"))
		start(strtoul(second, NULL, 16));
	else if (!strcmp(first, "facts"))
		facts();
	else if (!strcmp(first, "thp"))
		answer(write_thp(second, third));
	else if (!find(second) && (!strcmp(first, "smaps") || !strcmp(first, "pages") || !strcmp(first, "clear_refs")))
		errno = ESRCH, answer(-1);
	else if (!strcmp(first, "clear_refs"))
		clear_refs(find(second), third);
	else if (!strcmp(first, "smaps"))
		smaps(strtoul(third, NULL, 16), strtoul(fourth, NULL, 16));
	else if (!strcmp(first, "pages"))
		pages(strtoul(third, NULL, 16), strtoul(fourth, NULL, 16));
	else if (!strcmp(first, "off"))
		reboot(RB_POWER_OFF);
	else if (rest)
		call(first, rest + 1);
	else
		say("@? %s\n", line);
	return 1;
}

/* Does what is asked until it is another's turn. */
static void hold(void)
{
	for (;;) {
		char line[LINE];

		if (shared.next >= shared.length) {
			__atomic_store_n(&box.answered, shared.taken, __ATOMIC_SEQ_CST);
			wait_for_command();
			shared.taken = look(&box.asked);
			shared.length = box.command_length;
			shared.next = box.answer_length = 0;
			commands[shared.length] = 0;
		}
		while (shared.next < shared.length) {
			const char *command = commands + shared.next;

			snprintf(line, sizeof(line), "%.*s", (int)strcspn(command, "\n"), command);
			if (!serve(line))
				return;
			shared.next += strlen(line) + 1;
		}
	}
}

/* Until it is init's turn again. */
static void wait_for_turn(void)
{
	struct pollfd turn = { .fd = processes[0].commands[0], .events = POLLIN };
	char line[LINE];

	while (poll(&turn, 1, 1000) == 0) {
		if (kill(processes[shared.holder].pid, 0))
			die("a process of the scenario died");
	}
	read_line(turn.fd, line);
}

int main(void)
{
	struct termios console;

	if (getauxval(AT_PAGESZ) != PAGE) {
		dprintf(1, "\n@page %lu\n", getauxval(AT_PAGESZ));
		reboot(RB_POWER_OFF);
	}

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL) || mount("sysfs", "/sys", "sysfs", 0, NULL))
		die("mount");
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	if (tcgetattr(0, &console) == 0) {
		cfmakeraw(&console);
		tcsetattr(0, TCSANOW, &console);
	}
	catch_faults();
	settings();
	occupy_khugepaged();
	set_up_box();
	for (int n = 0; n < PROCESSES; n++)
		make_pipes(&processes[n]);
	processes[0].pid = getpid();
	for (;;) {
		hold();
		wait_for_turn();
	}
}
