/*
 * A host in narrow places.
 *
 *   host_narrow filesize FILE   may write files of a certain size only, and less later; SIGXFSZ has its default
 *   host_narrow noproc FILE     /proc is not mounted; prints "skip" where that cannot be had
 *   host_narrow mainless FILE   the main thread has ended before the library is called
 *   host_narrow pipes FILE      pipes stand where files are expected
 *   host_narrow stack FILE      prints the bytes of stack that each kind of call uses
 *   host_narrow small FILE      threads have the least stack that is documented
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "dbr/DynamsoftBarcodeReader.h"
#include "host.h"

static const char *picture;

/* The stack that docs/host-contract.md demands. */
#define STACK_BYTES (64 << 10)
#define DECODING_STACK_BYTES (512 << 10)

static int decode(void) {
  void *dbr = DBR_CreateInstance();
  int code = DBR_DecodeFile(dbr, picture, "");
  DBR_DestroyInstance(dbr);
  return code;
}

static int count(void) {
  SM_Reader *reader;
  int code = SM_CreateReader(&reader, NULL, 0);
  if (code != 0) return code;
  code = count_one(reader);
  if (code == 0) code = SM_CountPages(SM_PAGE_OCR, 1);
  SM_DestroyReader(reader);
  return code;
}

static int life(char *message) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  int code = InitLicenseFromDLS(&parameters, message, 512);
  if (code == 0) code = count();
  if (code == 0) code = SM_Sync(20000, message, 512);
  return code;
}

static void limit_files(long kib) {
  struct rlimit limit;
  CHECK_INT(0, getrlimit(RLIMIT_FSIZE, &limit));
  limit.rlim_cur = kib < 0 ? limit.rlim_max : (rlim_t)kib << 10;
  CHECK_INT(0, setrlimit(RLIMIT_FSIZE, &limit));
}

static void *live_here(void *unused) {
  char message[512] = "";
  int code = life(message);
  CHECK(code == 0 || code == SM_ERR_LICENSE_BUFFER_FAILED);
  return unused;
}

static void filesize(void) {
  static const long kibs[] = {0, 1, 4, 40, 100, 200};
  struct sigaction now;
  char message[512] = "";
  size_t i;
  pthread_t thread;
  SM_Reader *reader;
  int code, slot;
  CHECK_INT(0, setenv("SEATMETER_LOG", "narrow.log", 1));
  for (i = 0; i < sizeof kibs / sizeof kibs[0]; i++) {
    limit_files(kibs[i]);
    code = life(message);
    if (code != 0) {
      CHECK_INT(SM_ERR_LICENSE_BUFFER_FAILED, code);
      CHECK_CONTAINS(message, "ulimit -f");
    }
    if (kibs[i] <= 100) CHECK_INT(SM_ERR_LICENSE_BUFFER_FAILED, code);
    CHECK_INT(0, pthread_create(&thread, NULL, live_here, NULL));
    CHECK_INT(0, pthread_join(thread, NULL));
    (void)SM_Shutdown(2000);
  }
  limit_files(-1);
  CHECK_INT(0, life(message));
  /* The limit is lowered later. Counting continues in the files that exist, until a new one is needed. */
  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  CHECK_INT(0, count_one(reader));
  limit_files(1);
  CHECK_INT(0, count_one(reader));
  for (code = 0, slot = 0; slot < 10000 && code == 0; slot++) code = SM_CountScans(reader, 1000 + slot, 1);
  CHECK_INT(SM_ERR_LICENSE_BUFFER_FAILED, code);
  CHECK_INT(0, count_one(reader));
  (void)SM_Sync(20000, NULL, 0);
  limit_files(-1);
  CHECK_INT(0, SM_CountScans(reader, 9999, 1));
  SM_DestroyReader(reader);
  report_all();
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(20000));
  CHECK_INT(0, sigaction(SIGXFSZ, NULL, &now));
  CHECK(now.sa_handler == SIG_DFL);
}

static void live_well(void) {
  char message[512] = "";
  int code = life(message);
  if (code != 0) fprintf(stderr, "%s\n", message);
  CHECK_INT(0, code);
  CHECK_INT(0, decode());
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(20000));
}

static void noproc(void) {
  pid_t child;
  int status;
  SM_Reader *reader;
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount("none", "/proc", "tmpfs", 0, NULL) != 0) {
    puts("skip");
    return;
  }
  live_well();
  get_licensed();
  /* A dead process gives its seat back here, too. */
  child = fork();
  if (child == 0) {
    CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
    raise(SIGKILL);
  }
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(20000));
}

static pthread_t main_thread;

static void *live_without_main(void *unused) {
  (void)unused;
  CHECK_INT(0, pthread_join(main_thread, NULL));
  live_well();
  exit(0);
}

static void mainless(void) {
  pthread_t thread;
  main_thread = pthread_self();
  CHECK_INT(0, pthread_create(&thread, NULL, live_without_main, NULL));
  pthread_exit(NULL);
}

static void pipes(void) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  char message[512] = "", pipe_path[] = "/tmp/seatmeter-pipe-XXXXXX", path[64];
  void *dbr;
  CHECK(mkdtemp(pipe_path) != NULL);
  snprintf(path, sizeof path, "%s/pipe", pipe_path);
  CHECK_INT(0, mkfifo(path, 0600));
  CHECK_INT(0, setenv("SEATMETER_LOG", path, 1));
  get_licensed();
  dbr = DBR_CreateInstance();
  CHECK_INT(DBRERR_FILE_NOT_FOUND, DBR_DecodeFile(dbr, path, ""));
  CHECK_INT(DBRERR_FILE_NOT_FOUND, DBR_DecodeFile(dbr, "/dev/zero", ""));
  CHECK_INT(DBRERR_FILE_NOT_FOUND, DBR_DecodeFile(dbr, "/dev", ""));
  CHECK(DBR_InitRuntimeSettingsWithFile(dbr, path, CM_OVERWRITE, message, sizeof message) < 0);
  CHECK_CONTAINS(message, "regular file");
  CHECK(DBR_AppendTplFileToRuntimeSettings(dbr, path, CM_OVERWRITE, message, sizeof message) < 0);
  CHECK(DBR_OutputSettingsToFile(dbr, path, "all") < 0);
  DBR_DestroyInstance(dbr);
  CHECK_INT(0, SM_Shutdown(20000));
  /* A forked child has not talked to a server yet: it may still name a CA file. */
  if (fork() == 0) {
    CHECK_INT(0, SM_SetCaFile(path));
    CHECK_INT(0, setenv("SEATMETER_STATE_DIR", pipe_path, 1));
    CHECK_INT(SM_ERR_FAILED_TO_REACH_SERVER, InitLicenseFromDLS(&parameters, message, sizeof message));
    CHECK_CONTAINS(message, "regular file");
    CHECK_INT(0, setenv("SEATMETER_STATE_DIR", path, 1));
    CHECK_INT(SM_ERR_LICENSE_BUFFER_FAILED, InitLicenseFromDLS(&parameters, message, sizeof message));
    (void)SM_Shutdown(2000);
    exit(0);
  } else {
    int status;
    CHECK(wait(&status) > 0);
    CHECK_INT(0, status);
  }
  CHECK_INT(0, unlink(path));
}

static void *do_it(void *what) {
  CHECK_INT(0, (*(int (**)(void))what)());
  return NULL;
}

static int licensed_life(void) {
  char message[512] = "";
  SM_Reader *reader;
  int code = life(message);
  if (code == 0) code = SM_CreateReaderWithin(&reader, 10, NULL, 0);
  if (code == 0) SM_DestroyReader(reader);
  status_now();
  if (code == 0) code = SM_Shutdown(20000);
  return code == 0 ? life(message) : code;
}

static const struct {
  const char *name;
  int (*work)(void);
  size_t needed;
} kinds[] = {{"license", licensed_life, STACK_BYTES}, {"count", count, STACK_BYTES}, {"decode", decode, DECODING_STACK_BYTES}};

static size_t used_by(int (*work)(void), size_t bytes) {
  pthread_attr_t attributes;
  pthread_t thread;
  size_t left = 0;
  unsigned char *stack;
  CHECK_INT(0, posix_memalign((void **)&stack, 4096, bytes));
  memset(stack, 0xa5, bytes);
  CHECK_INT(0, pthread_attr_init(&attributes));
  CHECK_INT(0, pthread_attr_setstack(&attributes, stack, bytes));
  CHECK_INT(0, pthread_create(&thread, &attributes, do_it, &work));
  CHECK_INT(0, pthread_join(thread, NULL));
  while (left < bytes && stack[left] == 0xa5) left++;
  free(stack);
  return bytes - left;
}

int main(int argc, char **argv) {
  size_t i;
  CHECK(argc == 3);
  picture = argv[2];
  alarm(2 * HANG_SECONDS);
  if (strcmp(argv[1], "filesize") == 0) {
    filesize();
  } else if (strcmp(argv[1], "noproc") == 0) {
    noproc();
  } else if (strcmp(argv[1], "mainless") == 0) {
    mainless();
  } else if (strcmp(argv[1], "pipes") == 0) {
    pipes();
  } else if (strcmp(argv[1], "stack") == 0) {
    for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
      printf("%s %zu\n", kinds[i].name, used_by(kinds[i].work, (size_t)4 << 20));
  } else {
    /* Beside the guard page, each stack has the thread's own variables, those of the library and of libc. */
    for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
      pthread_attr_t attributes;
      pthread_t thread;
      /* Some systems allow no stack as small as this: on aarch64 it has at least 128 KiB. */
      long least = sysconf(_SC_THREAD_STACK_MIN);
      CHECK_INT(0, pthread_attr_init(&attributes));
      CHECK_INT(0, pthread_attr_setstacksize(&attributes, kinds[i].needed > (size_t)least ? kinds[i].needed : (size_t)least));
      CHECK_INT(0, pthread_create(&thread, &attributes, do_it, (void *)&kinds[i].work));
      CHECK_INT(0, pthread_join(thread, NULL));
    }
  }
  return 0;
}
