/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel side and user space say to each other: records, map keys, map values.
 * agent/brainkernel/sense/wire.py decodes it; tests/kernel/test_abi.py compares the two through the object's BTF.
 * Little endian, no hidden padding: every gap has a name and is 0.
 */
#ifndef BRAINKERNEL_EVENT_H
#define BRAINKERNEL_EVENT_H

enum event_kind {
	EVENT_EXEC = 1,
	EVENT_EXIT = 2,
	EVENT_FORK = 3,
};

enum event_limits {
	COMM_BYTES = 16,	/* TASK_COMM_LEN */
	LINEAGE_MAX = 7,	/* the parent and six more: enough to see past sh -c, sudo and env to who asked */
	FILENAME_BYTES = 1024,	/* with its final 0; PATH_MAX is 4096, but real ones stay far below this */
	/*
	 * Of argv, with the zeros between; execve takes 2 MB. It bounds what one process can put into the
	 * ring with one exec, and is about four times the longest line of a kernel build.
	 */
	ARGV_BYTES = 4096,
	ARGV_HASHED_BYTES = 512,	/* longer ones have no hash, so are reported each time */
};

/* One version of one file. Two equal ones are equal byte by byte. */
struct file_id {
	__u64 ino;
	__u64 ctime_ns;		/* CLOCK_REALTIME; changes whenever content, owner or links do */
	__u32 dev;		/* super_block.s_dev: 12 bits major, 20 bits minor */
	__u32 zero;
};
_Static_assert(sizeof(struct file_id) == 24, "wire.py decodes 24 bytes");

/* What differs between two starts of one program comes first: user space recognises the rest as a whole. */
struct event_header {
	__u64 time_ns;		/* CLOCK_BOOTTIME, so that a suspend shows as time passed */
	__u64 start_ns;		/* CLOCK_BOOTTIME; with tgid: the process, even after its pid is used again */
	__u32 tgid;
	__u32 kind;		/* enum event_kind */
	__u64 cgroup_id;	/* inode of the cgroup v2 directory */
};
_Static_assert(sizeof(struct event_header) == 32, "wire.py decodes 32 bytes");

/* One process above the one that execs. */
struct ancestor {
	__u64 start_ns;		/* CLOCK_BOOTTIME */
	struct file_id exe;	/* zeros: a kernel thread */
	__u32 tgid;
	__u32 zero;
	char comm[COMM_BYTES];
};
_Static_assert(sizeof(struct ancestor) == 56, "wire.py decodes 56 bytes");

enum exec_flags {
	EXEC_REMEMBERED = 1 << 0,	/* user space has remembered this identity */
	EXEC_UNLINKED = 1 << 1,		/* i_nlink was 0 */
	EXEC_MEMFD = 1 << 2,		/* unlinked, and named memfd: */
	EXEC_SCRIPT = 1 << 3,		/* exe is the interpreter, filename the script */
	EXEC_FILENAME_CUT = 1 << 4,
	EXEC_ARGV_FAULT = 1 << 5,	/* argv could not be read: swapped out, or the address was a lie */
	EXEC_OVERLAY_UPPER = 1 << 6,	/* in the writable layer of an overlay: not as the image brought it */
};

/* The fixed part comes first; payload holds lineage[], filename, argv, one right after the other, only as much as is used. */
struct exec_event {
	struct event_header header;
	struct file_id exe;
	__u64 argv_hash;	/* of known programs flagged always, see struct invocation; 0: none */
	__u32 uid;
	__u32 euid;
	__u32 loginuid;		/* of the audit session; ~0: none */
	__u32 tty;		/* like file_id.dev; 0: no controlling terminal */
	__u32 argv_total_bytes;	/* more than argv_bytes: it was cut */
	__u16 argv_bytes;
	__u16 filename_bytes;	/* without a final 0 */
	__u32 flags;		/* enum exec_flags */
	__u32 lineage_count;	/* of struct ancestor, nearest first */
	__u32 sessionid;	/* of the audit session, which pam_systemd takes for the login session's; ~0: none */
	__u32 zero;
	char comm[COMM_BYTES];
	char payload[LINEAGE_MAX * 56 + FILENAME_BYTES + ARGV_BYTES];
};
_Static_assert(__builtin_offsetof(struct exec_event, payload) == 120, "wire.py decodes 120 bytes and the payload");

struct exit_event {
	struct event_header header;
	__u64 cpu_ns;		/* of all its threads, as of the kernel's last tick or switch */
	__u64 run_delay_ns;	/* stood in a run queue, of the threads that lived to its end */
	__u64 max_rss_pages;	/* the most it ever had, also before an exec: getrusage(2)'s ru_maxrss */
	__u32 exit_code;	/* as wait(2) gives it */
	__u32 zero;
};
_Static_assert(sizeof(struct exit_event) == 64, "wire.py decodes 64 bytes");

struct fork_event {
	struct event_header header;	/* of the child */
	__u64 parent_start_ns;
	__u32 parent_tgid;
	__u32 zero;
};
_Static_assert(sizeof(struct fork_event) == 48, "wire.py decodes 48 bytes");

/* One thread in a snapshot of all tasks. What belongs to the process is 0 in threads that do not lead theirs. */
struct task_record {
	__u64 start_ns;		/* CLOCK_BOOTTIME, of the leader */
	__u64 cpu_ns;		/* of this thread; in a leader also that of all threads that ended */
	__u64 run_delay_ns;	/* stood in a run queue, this thread */
	__u64 cgroup_id;
	__u64 rss_pages;	/* the kernel's estimate: its per-CPU parts are not summed up */
	__u64 reaped_ns;	/* CPU time of children that ended and were waited for, and of theirs */
	__u32 tgid;
	__u32 pid;
	__u32 parent_tgid;
	__u32 uid;
	char comm[COMM_BYTES];
};
_Static_assert(sizeof(struct task_record) == 80, "wire.py decodes 80 bytes");

/* Key of the gate: this file, started by that file, for this user. User space inserts, the kernel only counts. */
struct identity {
	struct file_id exe;
	__u64 parent_ino;	/* 0: a kernel thread */
	__u32 parent_dev;
	__u32 uid;
};
_Static_assert(sizeof(struct identity) == 40, "wire.py packs 40 bytes");

enum known_flags {
	KNOWN_ALWAYS = 1 << 0,	/* a record each time: an interpreter, a dual-use tool */
};

struct known_program {
	__u64 count;		/* execs since it was remembered */
	__u32 flags;		/* enum known_flags */
	__u32 zero;
};
_Static_assert(sizeof(struct known_program) == 16, "wire.py packs 16 bytes");

/*
 * A program flagged always, with exactly these arguments; user space inserts the hash that a record told it. SipHash-1-3
 * of all bytes of argv, with a key made at load that nobody without CAP_BPF can read: two command lines collide once in
 * 2^64, and nobody can look for a pair.
 */
struct invocation {
	struct identity program;
	__u64 argv_hash;
};
_Static_assert(sizeof(struct invocation) == 48, "wire.py packs 48 bytes");

/* Token bucket of one cgroup, as a virtual schedule (GCRA): one word to move, no timer to refill it. */
struct bucket {
	__u64 due_ns;		/* CLOCK_BOOTTIME up to which its tokens are spent */
	__u64 suppressed;	/* since the bucket was made; only grows, so that user space takes differences */
};
_Static_assert(sizeof(struct bucket) == 16, "wire.py decodes 16 bytes");

/* What became of the events of one kind: seen = own + known + submitted + suppressed + failed. */
struct fates {
	__u64 seen;
	__u64 own;		/* of the agent and its children: not looked at */
	__u64 known;		/* execs: remembered; exits and forks: of a process that was not submitted */
	__u64 submitted;
	__u64 suppressed;
	__u64 failed;		/* a record that should have been sent and was not */
};

enum failure {
	FAILURE_RING_FULL,	/* the record is lost, and counted as failed in its kind */
	FAILURE_ARGV_FAULT,	/* the record is sent without argv */
	FAILURE_FILENAME_FAULT,	/* the record is sent without filename */
	FAILURE_TRACK,		/* an exit of this process will not be sent */
	FAILURE_BUCKET,		/* no bucket for this cgroup: its event was let through */
	FAILURE_COUNT,
};

/* One per CPU. 256 bytes: no two CPUs share a cache line. */
struct cpu_counters {
	struct fates exec;
	struct fates exit;
	struct fates fork;
	__u64 wakeups;		/* times that the consumer was woken */
	__u64 failures[FAILURE_COUNT];
	__u64 spare[8];
};
_Static_assert(sizeof(struct cpu_counters) == 256, "wire.py decodes 256 bytes");

enum { WAIT_SLOTS = 64 };

/* Run-queue waits of one CPU: slots[i] counts those of [2^i, 2^(i+1)) ns, slot 0 also those of 0 ns. */
struct wait_histogram {
	__u64 slots[WAIT_SLOTS];
};
_Static_assert(sizeof(struct wait_histogram) == 512, "wire.py decodes 512 bytes");

/* Set by user space between open and load; the verifier then removes the branches not taken. */
struct settings {
	__u64 token_interval_ns;	/* one exec record per this time and cgroup; 0: no limit */
	__u64 token_depth_ns;		/* how much of it may be spent at once */
	__u64 wake_bytes;		/* unread bytes at which even a record that can wait wakes the consumer */
	__u64 argv_key[2];		/* random */
	__u32 all_events;		/* 1: the gate counts but keeps nothing back */
	__u32 abi;			/* of what event.h the object was compiled; user space reads it before it writes the rest */
};
_Static_assert(sizeof(struct settings) == 48, "wire.py packs 48 bytes");

/* What this kernel's structs turned out to have; written by the first task snapshot. */
enum abilities {
	ABLE_QUEUE_CLOCK = 1 << 0,	/* run-queue wait by one probe: on_switch instead of on_wakeup and on_switch_pair */
	ABLE_RSS = 1 << 1,
	ABLE_RUN_DELAY = 1 << 2,
};

#endif
