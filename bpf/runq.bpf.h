/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long tasks stood in a run queue before they got a CPU, as a histogram by CPU and power of two.
 *
 * One probe, no hash: when sched_switch fires, next->sched_info.last_queued still says when it began to wait
 * (sched_info_arrive() clears it a moment later, in prepare_task_switch()), on the run queue's own clock, which
 * __schedule() has just brought up to date. `runqueues` as a per-CPU ksym is not in every kallsyms, so the clock is
 * reached through the task; se.cfs_rq points to its CPU's queue whatever the task's class.
 *
 * fa2c3254d7cf "sched/tracing: Don't re-read p->state when emitting sched_switch event" put prev_state before prev;
 * 9c2136be0878 "sched/tracing: Append prev_state to tp args instead" moved it to the end, both before any release
 * that distributions ship. So prev and next are arguments 2 and 3 everywhere.
 */

static __always_inline __u32 log2_of(__u64 value)
{
	__u32 high = value >> 32, v = high ? high : (__u32)value, log = high ? 32 : 0, shift;

	shift = (v > 0xffff) << 4;
	v >>= shift;
	log += shift;
	shift = (v > 0xff) << 3;
	v >>= shift;
	log += shift;
	shift = (v > 0xf) << 2;
	v >>= shift;
	log += shift;
	shift = (v > 0x3) << 1;
	v >>= shift;
	log += shift;
	return log + (v >> 1);
}

enum { CGROUP_LEVELS_MAX = 32 };

/*
 * A cgroup that is followed (a limited one: its quota makes it wait) has a histogram of its own, and is not in the
 * host's: so the host's needs no subtraction, and never runs backwards when a cgroup is followed no more. What is below
 * it waits for the same quota, so it counts there. The hash look-ups, one for each level at which somebody is followed,
 * are paid only while any is.
 *
 * Up by the parents, one pointer at a time: the array of all ancestors changed its type and name with 7f203bc89eb6
 * "cgroup: Replace cgroup->ancestor_ids[] with ->ancestors[]" (in v6.1), this way has not changed since v3.16.
 */
static __always_inline struct wait_histogram *followed_of(struct task_struct *task)
{
	__u32 levels = followed_levels, i;
	struct cgroup *cgroup;

	if (!levels)
		return NULL;
	cgroup = task->cgroups->dfl_cgrp;
	for (i = 0; i < CGROUP_LEVELS_MAX; i++) {
		struct wait_histogram *histogram;
		struct cgroup_subsys_state *parent;
		__u64 cgroup_id = cgroup->kn->id;

		if (levels >> (cgroup->level & 31) & 1) {
			histogram = bpf_map_lookup_elem(&cgroup_waits, &cgroup_id);
			if (histogram)
				return histogram;
		}
		parent = cgroup->self.parent;
		if (!parent)
			return NULL;
		cgroup = parent->cgroup;
	}
	return NULL;
}

static __always_inline void count_wait(struct task_struct *task, __s64 wait_ns)
{
	__u32 cpu = bpf_get_smp_processor_id(), slot;
	struct wait_histogram *histogram = bpf_map_lookup_elem(&waits, &cpu), *followed;

	if (!histogram)
		return;
	/*
	 * Before the slot: each of its values would send the verifier once more through the loop above, which took 160 ms
	 * at load instead of 10.
	 */
	followed = followed_of(task);
	/* Negative: the task came from another CPU whose clock is ahead. */
	slot = wait_ns > 0 ? log2_of(wait_ns) : 0;
	if (followed)
		COUNT(followed->slots[slot & (WAIT_SLOTS - 1)]);
	else /* Interrupts are off under the run queue's lock, so nobody else writes here. */
		histogram->slots[slot & (WAIT_SLOTS - 1)]++;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u64 queued_ns;

	/* No CONFIG_SCHED_INFO or CONFIG_FAIR_GROUP_SCHED: user space attaches the pair below instead. */
	if (!bpf_core_field_exists(next->sched_info.last_queued) || !bpf_core_field_exists(next->se.cfs_rq))
		return 0;
	queued_ns = next->sched_info.last_queued;
	if (!queued_ns || !next->pid)
		return 0;
	count_wait(next, next->se.cfs_rq->rq->clock - queued_ns);
	return 0;
}

/* The way for kernels without these fields, as runqlat does it: thread id to when it became runnable. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} runnable SEC(".maps");

static __always_inline void mark_runnable(struct task_struct *task)
{
	__u64 now_ns = bpf_ktime_get_ns();
	__u32 pid = task->pid;

	if (pid)
		bpf_map_update_elem(&runnable, &pid, &now_ns, BPF_ANY);
}

static __always_inline bool is_running(struct task_struct *task)
{
	struct task_struct___state *before_5_14 = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return task->__state == TASK_RUNNING;
	return before_5_14->state == TASK_RUNNING;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	mark_runnable(task);
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_wakeup_new, struct task_struct *task)
{
	mark_runnable(task);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch_pair, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u32 pid = next->pid;
	__u64 *queued_ns;

	if (is_running(prev))
		mark_runnable(prev);
	queued_ns = bpf_map_lookup_elem(&runnable, &pid);
	if (!queued_ns)
		return 0;
	count_wait(next, bpf_ktime_get_ns() - *queued_ns);
	bpf_map_delete_elem(&runnable, &pid);
	return 0;
}
