/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A process ended.
 *
 * Fires once per thread, and the leader may leave first. Two last threads on two CPUs can both see live == 0, so an
 * exit may be sent twice: user space treats the second as a no-op. We prefer that to a hook that a kernel built
 * without CONFIG_TTY (disassociate_ctty) or BSD accounting (acct_process) does not have. None is missed: do_exit()
 * counts live down before it fires, so whoever made it 0 sees 0.
 *
 * Newer kernels pass group_dead as a further argument; older ones do not have it, so it is not used.
 */

enum { ENDING_THREADS_MAX = 64 };

/*
 * A thread that was reaped has left its CPU time in signal_struct, but not its run delay. Those that end right now, and
 * a leader that left before them, are still in its list. One that is reaped between the two reads is in neither; read
 * the other way round it would be in both. The bound is for the verifier: of a process that is killed with more threads
 * than that, the time of the others is missing.
 *
 * maxrss is in place: do_exit() sets it right after it has counted live down to 0.
 */
static __always_inline void fill_usage(struct exit_event *e, struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	struct list_head *head = &signal->thread_head, *node;
	struct task_struct *thread;
	__u32 i;

	e->max_rss_pages = signal->maxrss;
	e->cpu_ns = signal->sum_sched_runtime;
	node = BPF_CORE_READ(signal, thread_head.next);
	for (i = 0; i < ENDING_THREADS_MAX; i++) {
		if (node == head)
			break;
		thread = (void *)node - bpf_core_field_offset(thread->thread_node);
		e->cpu_ns += BPF_CORE_READ(thread, se.sum_exec_runtime);
		if (bpf_core_field_exists(thread->sched_info.run_delay))
			e->run_delay_ns += BPF_CORE_READ(thread, sched_info.run_delay);
		node = BPF_CORE_READ(node, next);
	}
}

static __always_inline void send_exit(struct cpu_counters *c, struct task_struct *task)
{
	struct exit_event e = {};
	int code = task->signal->group_exit_code;

	fill_header(&e.header, task, EVENT_EXIT);
	e.exit_code = code ? code : task->exit_code;
	fill_usage(&e, task);
	if (send(c, &e, sizeof(e), false))
		COUNT(c->exit.failed);
	else
		COUNT(c->exit.submitted);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct cpu_counters *c = counters_here();
	__u32 tgid = task->tgid;

	if (!c || task->signal->live.counter)
		return 0;
	COUNT(c->exit.seen);
	if (!bpf_map_delete_elem(&own, &tgid)) {
		COUNT(c->exit.own);
		return 0;
	}
	/* The second of two last threads finds it deleted, and counts as known. */
	if (bpf_map_delete_elem(&tracked, &tgid) && !settings.all_events)
		COUNT(c->exit.known);
	else
		send_exit(c, task);
	return 0;
}
