/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Flood control, as the programs of both loaders do it. */

/* Take a token of this cgroup's bucket. Two CPUs at once may take the same one: a token too many, never a count. */
static __always_inline int take_token(struct bucket *bucket, __u64 now_ns, __u64 interval_ns, __u64 depth_ns)
{
	__u64 due_ns = bucket->due_ns > now_ns ? bucket->due_ns : now_ns;

	if (due_ns - now_ns + interval_ns > depth_ns) {
		__sync_fetch_and_add(&bucket->suppressed, 1);
		return 0;
	}
	bucket->due_ns = due_ns + interval_ns;
	return 1;
}
