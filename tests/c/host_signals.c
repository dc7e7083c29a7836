/*
 * A host with signal handlers of its own.
 *
 *   host_signals unchanged SERVER   no call changes dispositions, masks and pending timers
 *   host_signals broken             the server closes in mid-answer, and SIGPIPE has its default
 *   host_signals slow FILE          a slow handler interrupts every call, a thousand times a second
 */
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "dbr/DynamsoftBarcodeReader.h"
#include "host.h"

#define SIGNALS 65

static void handle(int number) { (void)number; }

static void record(struct sigaction *actions) {
  int i;
  for (i = 1; i < SIGNALS; i++) {
    memset(&actions[i], 0, sizeof actions[i]);
    (void)sigaction(i, NULL, &actions[i]);
  }
}

static void call_everything(void) {
  SM_Reader *reader;
  get_licensed();
  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  CHECK_INT(0, count_one(reader));
  CHECK_INT(0, SM_Sync(20000, NULL, 0));
  SM_DestroyReader(reader);
  CHECK_INT(0, SM_Shutdown(20000));
}

static void unchanged(void) {
  static struct sigaction before[SIGNALS], after[SIGNALS];
  sigset_t mask_before, mask_after;
  struct itimerval timer;
  int i, status;
  pid_t child;
  signal(SIGPIPE, handle);
  signal(SIGALRM, handle);
  signal(SIGCHLD, handle);
  signal(SIGSEGV, handle);
  record(before);
  CHECK_INT(0, sigprocmask(SIG_SETMASK, NULL, &mask_before));
  call_everything();
  record(after);
  CHECK_INT(0, sigprocmask(SIG_SETMASK, NULL, &mask_after));
  for (i = 1; i < SIGNALS; i++) {
    CHECK(before[i].sa_handler == after[i].sa_handler);
    CHECK_INT(before[i].sa_flags, after[i].sa_flags);
    CHECK_INT(sigismember(&mask_before, i), sigismember(&mask_after, i));
  }
  CHECK_INT(0, getitimer(ITIMER_REAL, &timer));
  CHECK_INT(0, timer.it_value.tv_sec);
  /* The library has not waited for a child of the host. */
  child = fork();
  CHECK(child >= 0);
  if (child == 0) _exit(7);
  get_licensed();
  CHECK_INT(0, SM_Shutdown(20000));
  CHECK(waitpid(child, &status, 0) == child);
  CHECK_INT(7, WEXITSTATUS(status));
}

static void broken(void) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  int i;
  struct sigaction now;
  for (i = 0; i < 20; i++) {
    int code = InitLicenseFromDLS(&parameters, NULL, 0);
    CHECK(code == SM_ERR_FAILED_TO_REACH_SERVER || code == SM_ERR_LICENSE_SYNC_FAILED);
    (void)SM_Sync(1000, NULL, 0);
  }
  CHECK_INT(0, sigaction(SIGPIPE, NULL, &now));
  CHECK(now.sa_handler == SIG_DFL);
  (void)SM_Shutdown(1000);
}

static pid_t main_thread;
static atomic_int interruptions, strangers;

static void be_slow(int number) {
  struct timespec begun, now;
  (void)number;
  if ((pid_t)syscall(SYS_gettid) != main_thread) atomic_fetch_add(&strangers, 1);
  atomic_fetch_add(&interruptions, 1);
  clock_gettime(CLOCK_MONOTONIC, &begun);
  do {
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - begun.tv_sec) * 1000000000L + now.tv_nsec - begun.tv_nsec < 300000);
}

static void slow(const char *file) {
  struct sigaction action;
  struct itimerval timer;
  void *dbr;
  int round;
  main_thread = (pid_t)syscall(SYS_gettid);
  memset(&action, 0, sizeof action);
  action.sa_handler = be_slow; /* Without SA_RESTART: system calls end with EINTR. */
  CHECK_INT(0, sigaction(SIGALRM, &action, NULL));
  memset(&timer, 0, sizeof timer);
  timer.it_value.tv_usec = timer.it_interval.tv_usec = 1000;
  CHECK_INT(0, setitimer(ITIMER_REAL, &timer, NULL));
  for (round = 0; round < 20; round++) {
    SM_Reader *all[4], *fifth;
    int i;
    char uuid[64];
    get_licensed();
    for (i = 0; i < 4; i++) CHECK_INT(0, SM_CreateReader(&all[i], NULL, 0));
    CHECK_INT(SM_ERR_INSTANCE_COUNT_OVER_LIMIT, SM_CreateReaderWithin(&fifth, 30, NULL, 0));
    CHECK_INT(0, count_one(all[0]));
    CHECK_INT(0, SM_CountPages(SM_PAGE_OCR, 1));
    CHECK_INT(0, SM_GetDeviceUUID(uuid, sizeof uuid));
    status_now();
    CHECK_INT(0, SM_Sync(20000, NULL, 0));
    for (i = 0; i < 4; i++) SM_DestroyReader(all[i]);
    CHECK_INT(4, GetIdleInstancesCount());
    CHECK_INT(0, SM_Shutdown(20000));
  }
  get_licensed();
  dbr = DBR_CreateInstance();
  CHECK_INT(0, DBR_DecodeFile(dbr, file, ""));
  DBR_DestroyInstance(dbr);
  memset(&timer, 0, sizeof timer);
  CHECK_INT(0, setitimer(ITIMER_REAL, &timer, NULL));
  CHECK_INT(0, SM_Shutdown(20000));
  CHECK(atomic_load(&interruptions) > 100);
  CHECK_INT(0, atomic_load(&strangers));
}

int main(int argc, char **argv) {
  CHECK(argc >= 2);
  if (strcmp(argv[1], "unchanged") == 0) {
    unchanged();
  } else if (strcmp(argv[1], "broken") == 0) {
    broken();
  } else {
    CHECK(argc == 3);
    slow(argv[2]);
  }
  return 0;
}
