/* Checks for the C test programs: a failed one says where, and the program ends with 1. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) {                                                           \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);     \
      exit(1);                                                                    \
    }                                                                             \
  } while (0)

#define CHECK_INT(expected, actual)                                               \
  do {                                                                            \
    long long check_e = (long long)(expected), check_a = (long long)(actual);     \
    if (check_e != check_a) {                                                     \
      fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__,        \
              #actual, check_a, check_e);                                         \
      exit(1);                                                                    \
    }                                                                             \
  } while (0)

#define CHECK_CONTAINS(text, part)                                                \
  do {                                                                            \
    const char *check_t = (text);                                                 \
    if (strstr(check_t, (part)) == NULL) {                                        \
      fprintf(stderr, "%s:%d: \"%s\" does not contain \"%s\"\n", __FILE__,        \
              __LINE__, check_t, (part));                                         \
      exit(1);                                                                    \
    }                                                                             \
  } while (0)

#endif
