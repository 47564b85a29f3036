/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SipHash-1-3 (Aumasson and Bernstein, 2012): keyed, so that without the key nobody can look for two inputs of one
 * value. Rust and CPython keep their tables from being flooded with the same variant.
 */

#define ROTATE(word, bits) (((word) << (bits)) | ((word) >> (64 - (bits))))

struct sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = ROTATE(s->v1, 13) ^ s->v0;
	s->v0 = ROTATE(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = ROTATE(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = ROTATE(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = ROTATE(s->v1, 17) ^ s->v2;
	s->v2 = ROTATE(s->v2, 32);
}

static __always_inline void sip_word(struct sip *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

/*
 * Of all of argv; 0 when it cannot be read, is empty, or is longer than ARGV_HASHED_BYTES: a hash of a part would let
 * through whatever comes after it.
 */
static __always_inline __u64 argv_hash_of(struct task_struct *task)
{
	union any_event *buffer = scratch_here();
	struct mm_struct *mm = task->mm;
	__u64 k0 = settings.argv_key[0], k1 = settings.argv_key[1], start, bytes, hash;
	struct sip s = {
		k0 ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL, k0 ^ 0x6c7967656e657261ULL, k1 ^ 0x7465646279746573ULL,
	};
	__u32 i;

	if (!buffer)
		return 0;
	start = mm->arg_start;
	bytes = mm->arg_end - start;
	if (!bytes || bytes > ARGV_HASHED_BYTES)
		return 0;
	buffer->words[bytes / 8] = 0; /* what the last, incomplete word has beyond argv */
	if (bpf_probe_read_user(buffer->words, bytes, (void *)start))
		return 0;
	for (i = 0; i < ARGV_HASHED_BYTES / 8; i++) {
		if (i >= bytes / 8)
			break;
		sip_word(&s, buffer->words[i]);
	}
	sip_word(&s, buffer->words[bytes / 8] | bytes << 56);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	hash = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
	return hash ? hash : 1;
}
