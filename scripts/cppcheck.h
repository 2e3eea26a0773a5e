/* What cppcheck cannot see, because it does not read system headers. */
#define HASH_ITER(hh, head, el, tmp) for ((el) = (tmp) = (head); (el); (el) = (tmp))
