/*
 * A host that ends, or becomes another program, while its threads are inside the library.
 *
 *   host_ends return · exit · handler · thread · signal     ways to end
 *   host_ends exec                                 becomes "host_ends after N", which counts what it has inherited
 */
#include <dirent.h>
#include <pthread.h>

#include "host.h"

static atomic_int calls;

static void *call_on(void *unused) {
  for (;;) {
    SM_Reader *reader = NULL;
    if (SM_CreateReader(&reader, NULL, 0) == 0) (void)count_one(reader);
    SM_DestroyReader(reader);
    atomic_fetch_add(&calls, 1);
  }
  return unused;
}

static void *sync_on(void *unused) {
  for (;;) (void)SM_Sync(1000, NULL, 0);
  return unused;
}

/* Runs during exit, while the other threads still work. */
static void use_at_exit(void) {
  SM_Reader *reader = NULL;
  int code = SM_CreateReader(&reader, NULL, 0);
  if (code != 0 && code != SM_ERR_INSTANCE_COUNT_OVER_LIMIT) _exit(20);
  SM_DestroyReader(reader);
  (void)SM_Shutdown(100);
}

static void *end_it(void *unused) {
  exit(0);
  return unused;
}

static void on_signal(int number) {
  (void)number;
  _exit(0);
}

static int count_descriptors(void) {
  DIR *folder = opendir("/proc/self/fd");
  int n = 0;
  CHECK(folder != NULL);
  while (readdir(folder)) n++;
  closedir(folder);
  return n - 2;
}

int main(int argc, char **argv) {
  pthread_t threads[4];
  SM_Reader *reader;
  char before[20];
  int i;
  CHECK(argc >= 2);
  alarm(HANG_SECONDS);
  if (strcmp(argv[1], "after") == 0) {
    CHECK(argc == 3);
    printf("%d\n", count_descriptors() - atoi(argv[2]));
    fflush(stdout);
    /* Reads until the test closes its end. */
    while (getchar() != EOF) continue;
    return 0;
  }
  if (strcmp(argv[1], "handler") == 0) CHECK_INT(0, atexit(use_at_exit));
  snprintf(before, sizeof before, "%d", count_descriptors());
  get_licensed();
  if (strcmp(argv[1], "exec") == 0) {
    static char path[] = "/proc/self/exe", after[] = "after";
    char *arguments[] = {path, after, before, NULL};
    for (i = 0; i < 4; i++) CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
    CHECK_INT(0, pthread_create(&threads[3], NULL, sync_on, NULL));
    usleep(20000);
    execv(path, arguments);
    return 21;
  }
  for (i = 0; i < 3; i++) CHECK_INT(0, pthread_create(&threads[i], NULL, call_on, NULL));
  CHECK_INT(0, pthread_create(&threads[3], NULL, sync_on, NULL));
  while (atomic_load(&calls) < 100) usleep(100);
  if (strcmp(argv[1], "exit") == 0) {
    exit(0);
  } else if (strcmp(argv[1], "thread") == 0) {
    pthread_t ender;
    CHECK_INT(0, pthread_create(&ender, NULL, end_it, NULL));
    pthread_exit(NULL);
  } else if (strcmp(argv[1], "signal") == 0) {
    signal(SIGALRM, on_signal);
    alarm(1);
    for (;;) (void)SM_Sync(1000, NULL, 0);
  }
  return 0;
}
