/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All tasks in one read of a file: CPU time, run delay and RSS without a /proc file per process.
 *
 * One record per thread; user space adds up. Adding up here would need a walk over signal->thread_head, for which BPF
 * has no safe loop before c68a78ffe2cb "bpf: Introduce task open coded iterator kfuncs" (in v6.7). Kernel threads are
 * left out: nobody can limit them.
 */

/* By probe reads: the verifier of older kernels does not follow a typed pointer into an array of structs. */
static __always_inline __u64 read_rss_pages(struct mm_struct *mm)
{
	struct mm_struct___rss_atomic *before_6_2 = (void *)mm;
	__s64 pages = 0;

	if (bpf_core_field_exists(mm->rss_stat[0].count)) {
		pages += BPF_CORE_READ(mm, rss_stat[MM_FILEPAGES].count);
		pages += BPF_CORE_READ(mm, rss_stat[MM_ANONPAGES].count);
		pages += BPF_CORE_READ(mm, rss_stat[MM_SHMEMPAGES].count);
	} else if (bpf_core_field_exists(before_6_2->rss_stat.count)) {
		pages += BPF_CORE_READ(before_6_2, rss_stat.count[MM_FILEPAGES].counter);
		pages += BPF_CORE_READ(before_6_2, rss_stat.count[MM_ANONPAGES].counter);
		pages += BPF_CORE_READ(before_6_2, rss_stat.count[MM_SHMEMPAGES].counter);
	}
	return pages > 0 ? pages : 0;
}

static __always_inline void note_abilities(struct task_struct *task)
{
	struct mm_struct___rss_atomic *before_6_2 = NULL;
	struct mm_struct *mm = NULL;
	__u32 zero = 0, able = 0;

	if (bpf_core_field_exists(task->sched_info.last_queued) && bpf_core_field_exists(task->se.cfs_rq))
		able |= ABLE_QUEUE_CLOCK;
	if (bpf_core_field_exists(task->sched_info.run_delay))
		able |= ABLE_RUN_DELAY;
	if (bpf_core_field_exists(mm->rss_stat[0].count) || bpf_core_field_exists(before_6_2->rss_stat.count))
		able |= ABLE_RSS;
	bpf_map_update_elem(&abilities, &zero, &able, BPF_ANY);
}

SEC("iter/task")
int snapshot(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *leader;
	struct task_record r = {};
	struct mm_struct *mm;

	if (!task)
		return 0;
	if (!ctx->meta->seq_num)
		note_abilities(task);
	if (task->flags & PF_KTHREAD)
		return 0;
	leader = task->group_leader;
	r.tgid = task->tgid;
	r.pid = task->pid;
	r.start_ns = leader->start_boottime;
	r.cpu_ns = task->se.sum_exec_runtime;
	if (bpf_core_field_exists(task->sched_info.run_delay))
		r.run_delay_ns = task->sched_info.run_delay;
	if (r.pid == r.tgid) {
		r.cpu_ns += task->signal->sum_sched_runtime;
		r.reaped_ns = task->signal->cutime + task->signal->cstime;
		r.parent_tgid = task->real_parent->tgid;
		r.uid = task->cred->uid.val;
		r.cgroup_id = cgroup_id_of(task);
		bpf_probe_read_kernel(r.comm, COMM_BYTES, task->comm);
	}
	mm = task->mm;
	if (mm)
		r.rss_pages = read_rss_pages(mm);
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}
