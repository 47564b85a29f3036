/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel side where there is no BTF: compiled on the host by bcc, after bpf/event.h and bpf/bucket.h.
 *
 * Tracepoint fields and helpers only, no struct of the kernel is read: their offsets come from whatever headers are
 * installed, and those of another build or configuration compile and then read the wrong bytes. Tracepoints describe
 * themselves in tracefs. What they do not tell (file, start time, lineage) user space completes from /proc: those
 * fields are 0 in the records.
 */

enum {
	ARGUMENTS_MAX = 48,
	ARGUMENT_BYTES = 512,	/* each; a longer one is cut, and the record says so */
};

/* What sys_enter_execve was given, kept until the exec has succeeded. */
struct start {
	u32 bytes;
	u32 total;		/* more than bytes: it was cut */
	u32 flags;		/* enum exec_flags */
	u32 zero;
	char argv[ARGV_BYTES + ARGUMENT_BYTES];
};

/* In the order of enum event_kind, from 1. */
struct sent {
	u64 seen;
	u64 suppressed;
	u64 failed;
};

BPF_PERF_OUTPUT(events);
BPF_PERCPU_ARRAY(exec_scratch, struct exec_event, 1);
BPF_PERCPU_ARRAY(start_scratch, struct start, 1);
BPF_TABLE("lru_hash", u64, struct start, starting, 512);
BPF_PERCPU_ARRAY(books, struct sent, 4);

static __always_inline void count(u32 kind, int failed)
{
	struct sent *book = books.lookup(&kind);

	if (!book)
		return;
	book->seen++;
	if (failed)
		book->failed++;
}

#ifdef TOKEN_INTERVAL_NS
BPF_TABLE("lru_hash", u64, struct bucket, buckets, 4096);

static __always_inline int is_suppressed(u64 cgroup_id, u64 now_ns)
{
	struct bucket empty = {}, *bucket = buckets.lookup_or_try_init(&cgroup_id, &empty);
	u32 kind = EVENT_EXEC;
	struct sent *book = books.lookup(&kind);

	if (!bucket || !book || take_token(bucket, now_ns, TOKEN_INTERVAL_NS, TOKEN_DEPTH_NS))
		return 0;
	book->seen++;
	book->suppressed++;
	return 1;
}
#else
static __always_inline int is_suppressed(u64 cgroup_id, u64 now_ns)
{
	return 0;
}
#endif

static __always_inline void fill(struct event_header *header, u32 tgid, u32 kind)
{
	header->time_ns = bpf_ktime_get_boot_ns();
	header->start_ns = 0;
	header->cgroup_id = bpf_get_current_cgroup_id();
	header->tgid = tgid;
	header->kind = kind;
}

/* Argument after argument, each with its final 0, as they will lie in the new program's memory. */
static __always_inline int keep_argv(const char *const *argv)
{
	u64 thread = bpf_get_current_pid_tgid();
	u32 zero = 0, i;
	struct start *start = start_scratch.lookup(&zero);

	if (!start)
		return 0;
	start->bytes = 0;
	start->total = 0;
	start->flags = 0;
	start->zero = 0;
#pragma unroll
	for (i = 0; i < ARGUMENTS_MAX; i++) {
		const char *argument = NULL;
		long length;

		if (bpf_probe_read_user(&argument, sizeof(argument), &argv[i])) {
			start->flags |= EXEC_ARGV_FAULT;
			goto out;
		}
		if (!argument)
			goto out;
		if (start->bytes > ARGV_BYTES - 1) {
			start->total = start->bytes + 1;
			goto out;
		}
		length = bpf_probe_read_user_str(start->argv + start->bytes, ARGUMENT_BYTES, argument);
		if (length <= 0) {
			/* Not in memory: a tracepoint cannot wait for the page. */
			start->flags |= EXEC_ARGV_FAULT;
			goto out;
		}
		start->bytes += length;
		if (length == ARGUMENT_BYTES)
			start->total = 1 << 20;
	}
	start->total = start->bytes + 1;
out:
	if (start->bytes > ARGV_BYTES) {
		start->bytes = ARGV_BYTES;
		start->total = ARGV_BYTES + 1;
	}
	starting.update(&thread, start);
	return 0;
}

TRACEPOINT_PROBE(syscalls, sys_enter_execve)
{
	return keep_argv((const char *const *)args->argv);
}

TRACEPOINT_PROBE(syscalls, sys_enter_execveat)
{
	return keep_argv((const char *const *)args->argv);
}

TRACEPOINT_PROBE(sched, sched_process_exec)
{
	u64 thread = bpf_get_current_pid_tgid(), ids = bpf_get_current_uid_gid();
	/* A thread that does not lead has the leader's pid by now; its arguments are filed under its old one. */
	u64 filed = (thread & 0xffffffff00000000ULL) | (u32)args->old_pid;
	u64 at = 0, bytes;
	u32 zero = 0;
	struct exec_event *e = exec_scratch.lookup(&zero);
	struct start *start = starting.lookup(&filed);
	long length;

	if (!e)
		return 0;
	__builtin_memset(e, 0, __builtin_offsetof(struct exec_event, payload));
	fill(&e->header, thread >> 32, EVENT_EXEC);
	if (is_suppressed(e->header.cgroup_id, e->header.time_ns)) {
		starting.delete(&filed);
		return 0;
	}
	e->uid = e->euid = (u32)ids;
	e->loginuid = e->sessionid = ~0U;
	bpf_get_current_comm(e->comm, COMM_BYTES);
	length = bpf_probe_read_kernel_str(e->payload, FILENAME_BYTES,
					   (void *)args + (args->data_loc_filename & 0xffff));
	if (length > 0 && length <= FILENAME_BYTES) {
		at = (length - 1) & (FILENAME_BYTES - 1); /* the masks are for the verifier */
		if (length == FILENAME_BYTES)
			e->flags |= EXEC_FILENAME_CUT;
	}
	e->filename_bytes = at;
	if (start) {
		bytes = start->bytes & (2 * ARGV_BYTES - 1);
		e->flags |= start->flags;
		e->argv_total_bytes = start->total > bytes ? start->total : bytes;
		if (bytes <= ARGV_BYTES) {
			bpf_probe_read_kernel(e->payload + at, bytes, start->argv);
			e->argv_bytes = bytes;
			at += bytes;
		}
		starting.delete(&filed);
	} else {
		e->flags |= EXEC_ARGV_FAULT;
	}
	at &= 2 * ARGV_BYTES - 1;
	if (at <= FILENAME_BYTES + ARGV_BYTES)
		count(EVENT_EXEC, events.perf_submit(args, e, __builtin_offsetof(struct exec_event, payload) + at));
	return 0;
}

/* Not sched_process_fork: that one does not tell a thread from a process. */
TRACEPOINT_PROBE(task, task_newtask)
{
	struct fork_event e = {};

	if (args->clone_flags & 0x00010000) /* CLONE_THREAD, include/uapi/linux/sched.h */
		return 0;
	fill(&e.header, args->pid, EVENT_FORK);
	e.parent_tgid = bpf_get_current_pid_tgid() >> 32;
	count(EVENT_FORK, events.perf_submit(args, &e, sizeof(e)));
	return 0;
}

TRACEPOINT_PROBE(sched, sched_process_exit)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct exit_event e = {};

	if ((u32)thread != thread >> 32) /* the leader's stands for the process: `live` is out of reach here */
		return 0;
	fill(&e.header, thread >> 32, EVENT_EXIT);
	count(EVENT_EXIT, events.perf_submit(args, &e, sizeof(e)));
	return 0;
}

#ifdef RUN_QUEUE
BPF_TABLE("lru_hash", u32, u64, runnable, 16384);
BPF_PERCPU_ARRAY(waits, u64, WAIT_SLOTS);

static __always_inline void mark_runnable(u32 pid)
{
	u64 now_ns = bpf_ktime_get_ns();

	if (pid)
		runnable.update(&pid, &now_ns);
}

TRACEPOINT_PROBE(sched, sched_wakeup)
{
	mark_runnable(args->pid);
	return 0;
}

TRACEPOINT_PROBE(sched, sched_wakeup_new)
{
	mark_runnable(args->pid);
	return 0;
}

TRACEPOINT_PROBE(sched, sched_switch)
{
	u32 pid = args->next_pid, slot;
	u64 *queued_ns, *waited;

	if (!(args->prev_state & 0xff)) /* running, or preempted: the bit above the states */
		mark_runnable(args->prev_pid);
	queued_ns = runnable.lookup(&pid);
	if (!queued_ns)
		return 0;
	slot = bpf_log2l(bpf_ktime_get_ns() - *queued_ns);
	slot = slot ? slot - 1 : 0; /* bcc's counts from 1 */
	waited = waits.lookup(&slot);
	if (waited)
		(*waited)++;
	runnable.delete(&pid);
	return 0;
}
#endif
