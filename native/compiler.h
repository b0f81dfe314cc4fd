/* What compilers know beyond C11, and others do without. */
#ifndef CONCORDANT_COMPILER_H
#define CONCORDANT_COMPILER_H

#if defined(__GNUC__)
/* What happens once in many keys stays out of the way. */
#define UNLIKELY(condition) __builtin_expect(condition, 0)
#define COLD __attribute__((noinline, cold))
/* Memory that is soon to be read. */
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define UNLIKELY(condition) (condition)
#define COLD
#define PREFETCH(address) ((void)0)
#endif

#endif
