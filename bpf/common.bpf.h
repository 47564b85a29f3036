/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counters, wakeups, and what several programs read of a task. */

/* Atomic although it is this CPU's: a kernel that keeps preemption on in tracepoints may run us twice on one CPU. */
#define COUNT(counter) __sync_fetch_and_add(&(counter), 1)

static __always_inline struct cpu_counters *counters_here(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&counters, &cpu);
}

static __always_inline union any_event *scratch_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* Where the consumer stood when it was last woken, plus 1. Races between CPUs only cost a wakeup too many. */
static __u64 woken_at;

static __always_inline int wake_with(struct cpu_counters *c, void *record, __u64 size, __u64 consumed)
{
	woken_at = consumed + 1;
	if (bpf_ringbuf_output(&events, record, size, BPF_RB_FORCE_WAKEUP)) {
		woken_at = 0;
		COUNT(c->failures[FAILURE_RING_FULL]);
		return -1;
	}
	COUNT(c->wakeups);
	return 0;
}

/*
 * Send a record. `urgent` ones wake the consumer, but only once until it has read something: a wakeup costs more than
 * decoding the record. Others wait for the next tick or urgent record, unless the ring fills up.
 *
 * The consumer stores its position, then looks again at the producer's, and epoll looks once more before it sleeps.
 * So a record committed without a wakeup is either seen by one of these, or we see here that the position moved and
 * wake with an empty, discarded record.
 */
static __always_inline int send(struct cpu_counters *c, void *record, __u64 size, bool urgent)
{
	__u64 consumed = bpf_ringbuf_query(&events, BPF_RB_CONS_POS);
	void *empty;

	if (!urgent && bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= settings.wake_bytes)
		urgent = true;
	if (urgent && woken_at != consumed + 1)
		return wake_with(c, record, size, consumed);
	if (bpf_ringbuf_output(&events, record, size, BPF_RB_NO_WAKEUP)) {
		COUNT(c->failures[FAILURE_RING_FULL]);
		return -1;
	}
	if (urgent && bpf_ringbuf_query(&events, BPF_RB_CONS_POS) != consumed) {
		empty = bpf_ringbuf_reserve(&events, 8, 0);
		if (empty) {
			bpf_ringbuf_discard(empty, BPF_RB_FORCE_WAKEUP);
			COUNT(c->wakeups);
		}
	}
	return 0;
}

static __always_inline __u64 read_ctime_ns(struct inode *inode)
{
	struct inode___i_ctime *before_6_6 = (void *)inode;
	struct inode_____i_ctime *before_6_11 = (void *)inode;
	struct timespec64 ctime;

	if (bpf_core_field_exists(inode->i_ctime_sec)) {
		ctime.tv_sec = BPF_CORE_READ(inode, i_ctime_sec);
		/*
		 * The top bit says that somebody has asked for the time: 4e40eff0b573 "fs: add infrastructure for
		 * multigrain timestamps" (in v6.13).
		 */
		ctime.tv_nsec = BPF_CORE_READ(inode, i_ctime_nsec) & 0x7fffffff;
	} else if (bpf_core_field_exists(before_6_11->__i_ctime)) {
		ctime.tv_sec = BPF_CORE_READ(before_6_11, __i_ctime.tv_sec);
		ctime.tv_nsec = BPF_CORE_READ(before_6_11, __i_ctime.tv_nsec);
	} else {
		ctime.tv_sec = BPF_CORE_READ(before_6_6, i_ctime.tv_sec);
		ctime.tv_nsec = BPF_CORE_READ(before_6_6, i_ctime.tv_nsec);
	}
	return ctime.tv_sec * 1000000000ULL + ctime.tv_nsec;
}

static __always_inline void fill_file_id(struct file_id *id, struct inode *inode)
{
	id->ino = inode->i_ino;
	id->ctime_ns = read_ctime_ns(inode);
	id->dev = inode->i_sb->s_dev;
	id->zero = 0;
}

/* The program a process runs; NULL for a kernel thread and for one that is past its end. */
static __always_inline struct inode *exe_of(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	struct file *file;

	/* The leader may have left while other threads live on, and the other way round. */
	if (!mm)
		mm = task->group_leader->mm;
	if (!mm)
		return NULL;
	file = mm->exe_file;
	if (!file)
		return NULL;
	return file->f_inode;
}

/* In cgroup v1 this is the root of the unified hierarchy. */
static __always_inline __u64 cgroup_id_of(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp->kn->id;
}

static __always_inline void fill_header(struct event_header *header, struct task_struct *task, __u32 kind)
{
	header->time_ns = bpf_ktime_get_boot_ns();
	header->start_ns = task->group_leader->start_boottime;
	header->cgroup_id = cgroup_id_of(task);
	header->tgid = task->tgid;
	header->kind = kind;
}
