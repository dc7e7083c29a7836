/*
 * A host that cancels its threads.
 *
 *   host_canceled points FILE   no call reaches a cancellation point while its thread may be canceled: prints those that do
 *   host_canceled names         prints the names of the cancellation points that are watched
 *   host_canceled calls FILE    threads are canceled at any moment of their calls, and nothing is lost
 *   host_canceled inside FILE   threads are canceled while they are surely inside, with either type of cancellation
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <netdb.h>
#include <time.h>

#include "dbr/DynamsoftBarcodeReader.h"
#include "host.h"

/* The library finds these functions before those of libc. Each checks whether its thread could be canceled now. */
static __thread int is_inside;
static atomic_int were_seen;
static const char *names[64];
static int name_count;

static void look(const char *name) {
  int state;
  if (!is_inside) return;
  atomic_fetch_add(&were_seen, 1);
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
  if (state == PTHREAD_CANCEL_ENABLE) printf("%s in call %d\n", name, is_inside);
  pthread_setcancelstate(state, NULL);
}

#define NAMED(name)                                                                                     \
  __attribute__((constructor)) static void name_##name(void) { names[name_count++] = #name; }
#define WATCHED(result, name, parameters, arguments)                                                    \
  NAMED(name)                                                                                           \
  result name parameters {                                                                              \
    static result(*real) parameters;                                                                    \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                               \
    look(#name);                                                                                        \
    return real arguments;                                                                              \
  }
#define WATCHED_OPEN(name)                                                                              \
  NAMED(name)                                                                                           \
  int name(const char *path, int flags, ...) {                                                          \
    static int (*real)(const char *, int, ...);                                                         \
    va_list rest;                                                                                       \
    mode_t mode;                                                                                        \
    va_start(rest, flags);                                                                              \
    mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                  \
    va_end(rest);                                                                                       \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                               \
    look(#name);                                                                                        \
    return real(path, flags, mode);                                                                     \
  }

WATCHED(ssize_t, read, (int fd, void *to, size_t n), (fd, to, n))
WATCHED(ssize_t, readv, (int fd, const struct iovec *to, int n), (fd, to, n))
WATCHED(ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n))
WATCHED(ssize_t, writev, (int fd, const struct iovec *from, int n), (fd, from, n))
WATCHED(ssize_t, pread64, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at))
WATCHED(ssize_t, pwrite64, (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at))
WATCHED(ssize_t, send, (int fd, const void *from, size_t n, int flags), (fd, from, n, flags))
WATCHED(ssize_t, recv, (int fd, void *to, size_t n, int flags), (fd, to, n, flags))
WATCHED(ssize_t, copy_file_range, (int from, off64_t *a, int to, off64_t *b, size_t n, unsigned flags),
        (from, a, to, b, n, flags))
WATCHED(ssize_t, splice, (int from, off64_t *a, int to, off64_t *b, size_t n, unsigned flags), (from, a, to, b, n, flags))
WATCHED(ssize_t, sendfile64, (int to, int from, off64_t *at, size_t n), (to, from, at, n))
WATCHED(int, close, (int fd), (fd))
WATCHED(int, connect, (int fd, __CONST_SOCKADDR_ARG to, socklen_t n), (fd, to, n))
WATCHED(int, fsync, (int fd), (fd))
WATCHED(int, fdatasync, (int fd), (fd))
WATCHED(int, msync, (void *at, size_t n, int flags), (at, n, flags))
WATCHED(int, poll, (struct pollfd * of, nfds_t n, int ms), (of, n, ms))
WATCHED(int, epoll_wait, (int fd, struct epoll_event *to, int n, int ms), (fd, to, n, ms))
WATCHED(int, posix_fallocate, (int fd, off_t at, off_t n), (fd, at, n))
WATCHED(int, clock_nanosleep, (clockid_t of, int flags, const struct timespec *t, struct timespec *left), (of, flags, t, left))
WATCHED(int, pthread_join, (pthread_t thread, void **result), (thread, result))
WATCHED(int, pause, (void), ())
WATCHED(int, sigtimedwait, (const sigset_t *of, siginfo_t *to, const struct timespec *t), (of, to, t))
WATCHED(int, getaddrinfo, (const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **to),
        (host, service, hints, to))
WATCHED_OPEN(open)
WATCHED_OPEN(open64)

#define CALL(call)        \
  do {                    \
    is_inside = __LINE__; \
    call;                 \
    is_inside = 0;        \
  } while (0)

/* The logger of a host may write. */
static void write_down(void *user, int level, const char *line) {
  int file = open("/dev/null", O_WRONLY);
  ssize_t written = write(file, line, strlen(line));
  (void)user;
  (void)level;
  (void)written;
  close(file);
}

static void nothing(int frame, TextResultArray *results, void *user) {
  (void)frame;
  (void)results;
  (void)user;
}

static void use_everything(const char *file) {
  static unsigned char pixels[64 * 64];
  DM_DLSConnectionParameters parameters = demo_parameters();
  SM_Reader *all[4], *more;
  SM_Holder holders[4];
  SM_Status status;
  void *dbr = NULL;
  size_t count;
  char uuid[64];
  int i;
  CALL(CHECK_INT(0, InitLicenseFromDLS(&parameters, NULL, 0)));
  for (i = 0; i < 4; i++) CALL(CHECK_INT(0, SM_CreateReader(&all[i], NULL, 0)));
  CALL(CHECK_INT(SM_ERR_INSTANCE_COUNT_OVER_LIMIT, SM_CreateReaderWithin(&more, 30, NULL, 0)));
  CALL(CHECK_INT(SM_ERR_INSTANCE_COUNT_OVER_LIMIT, SM_CreateReader(&more, NULL, 0)));
  /* There are more different counters than a segment has room for. */
  for (i = 0; i < 2500; i++) CALL(CHECK_INT(0, SM_CountScans(all[0], i, 1)));
  CALL(CHECK_INT(0, count_one(all[1])));
  CALL(CHECK_INT(0, SM_CountPages(SM_PAGE_OCR, 1)));
  CALL(CHECK_INT(0, GetIdleInstancesCount()));
  CALL(CHECK_INT(0, SM_ListHolders(holders, 4, &count)));
  status.size = sizeof status;
  CALL(CHECK_INT(0, SM_GetStatus(&status)));
  CALL(CHECK_INT(0, SM_GetDeviceUUID(uuid, sizeof uuid)));
  CALL(SM_Sync(20000, NULL, 0));
  for (i = 0; i < 4; i++) CALL(SM_DestroyReader(all[i]));
  CALL(dbr = DBR_CreateInstance());
  CALL(CHECK_INT(0, DBR_DecodeFile(dbr, file, "")));
  CALL(CHECK_INT(0, DBR_SetTextResultCallback(dbr, nothing, NULL)));
  CALL(CHECK_INT(0, DBR_StartFrameDecoding(dbr, 3, 3, 64, 64, 64, 2, "")));
  CALL(CHECK(DBR_AppendFrame(dbr, pixels) >= 0));
  CALL(DBR_DestroyInstance(dbr));
  CALL(CHECK_INT(0, SM_SetLogCallback(write_down, NULL)));
  CALL(SM_Shutdown(20000));
}

static void points(const char *file) {
  SM_Reader *reader;
  int status;
  pid_t child;
  CALL(CHECK_INT(0, SM_SetLogCallback(write_down, NULL)));
  use_everything(file);
  use_everything(file);
  get_licensed();
  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  fflush(stdout);
  /* A child continues under its parent's license, whichever call is its first. */
  child = fork();
  if (child == 0) {
    SM_Reader *own;
    CALL(CHECK_INT(0, SM_CountScans(reader, 1, 1)));
    CALL(CHECK_INT(0, SM_CreateReader(&own, NULL, 0)));
    CALL(SM_DestroyReader(own));
    CALL(SM_DestroyReader(reader));
    exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child);
  CHECK_INT(0, status);
  SM_DestroyReader(reader);
  CHECK_INT(0, SM_Shutdown(20000));
  CHECK(atomic_load(&were_seen) > 500);
}

static const char *picture;
static _Thread_local SM_Reader *mine;

static void destroy_mine(void *unused) {
  (void)unused;
  SM_DestroyReader(mine);
  mine = NULL;
}

static void call_init(void) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  (void)InitLicenseFromDLS(&parameters, NULL, 0);
  (void)SM_Shutdown(2000);
}

static void call_sync(void) { (void)SM_Sync(5000, NULL, 0); }

static void call_decode(void) {
  void *dbr = DBR_CreateInstance();
  (void)DBR_DecodeFile(dbr, picture, "");
  DBR_DestroyInstance(dbr);
}

static void call_wait(void) {
  (void)SM_CreateReaderWithin(&mine, 2, NULL, 0);
  destroy_mine(NULL);
}

static void call_reader(void) {
  if (SM_CreateReader(&mine, NULL, 0) == 0) (void)count_one(mine);
  (void)SM_CountPages(SM_PAGE_OCR, 1);
  destroy_mine(NULL);
}

typedef void (*Calls)(void);

static void *call_for_ever(void *calls) {
  pthread_cleanup_push(destroy_mine, NULL);
  for (;;) {
    (*(Calls *)calls)();
    pthread_testcancel();
  }
  pthread_cleanup_pop(0);
  return NULL;
}

static void calls(const char *file) {
  static Calls all[] = {call_init, call_sync, call_decode, call_wait, call_reader};
  size_t kind;
  int round;
  picture = file;
  CHECK_INT(0, SM_SetLogCallback(write_down, NULL));
  for (kind = 0; kind < sizeof all / sizeof all[0]; kind++) {
    for (round = 0; round < 12; round++) {
      pthread_t threads[2];
      int i;
      get_licensed();
      for (i = 0; i < 2; i++) CHECK_INT(0, pthread_create(&threads[i], NULL, call_for_ever, &all[kind]));
      usleep((useconds_t)(rand() % 6000));
      for (i = 0; i < 2; i++) CHECK_INT(0, pthread_cancel(threads[i]));
      for (i = 0; i < 2; i++) {
        void *result;
        CHECK_INT(0, pthread_join(threads[i], &result));
        CHECK(result == PTHREAD_CANCELED);
      }
      get_licensed();
      CHECK_INT(4, GetIdleInstancesCount());
      if (round % 5 == 0) CHECK_INT(0, SM_Shutdown(20000));
    }
  }
  get_licensed();
  report_all();
  CHECK_INT(0, SM_Shutdown(20000));
}

static pthread_t to_cancel;
static atomic_int heard, has_returned;

/* The thread that logs this line is inside a call, and waits there for this callback. */
static void cancel_it(void *user, int level, const char *line) {
  (void)user;
  (void)level;
  if (strcmp(line, "licensed") != 0) return;
  atomic_fetch_add(&heard, 1);
  CHECK_INT(0, pthread_cancel(to_cancel));
}

static void *be_canceled_inside(void *type) {
  to_cancel = pthread_self();
  CHECK_INT(0, pthread_setcanceltype(*(int *)type, NULL));
  get_licensed();
  atomic_fetch_add(&has_returned, 1);
  for (;;) {
    int file = open("/dev/null", O_WRONLY);
    close(file);
  }
}

static void inside(const char *file) {
  static int types[] = {PTHREAD_CANCEL_DEFERRED, PTHREAD_CANCEL_ASYNCHRONOUS};
  int i;
  (void)file;
  CHECK_INT(0, SM_SetLogCallback(cancel_it, NULL));
  for (i = 0; i < 20; i++) {
    pthread_t thread;
    void *result;
    CHECK_INT(0, pthread_create(&thread, NULL, be_canceled_inside, &types[i % 2]));
    CHECK_INT(0, pthread_join(thread, &result));
    CHECK(result == PTHREAD_CANCELED);
    CHECK_INT(i + 1, atomic_load(&has_returned));
    CHECK_INT(4, GetIdleInstancesCount());
  }
  CHECK_INT(20, atomic_load(&heard));
  CHECK_INT(0, SM_Shutdown(20000));
}

int main(int argc, char **argv) {
  CHECK(argc >= 2);
  alarm(4 * HANG_SECONDS);
  if (strcmp(argv[1], "names") == 0) {
    int i;
    for (i = 0; i < name_count; i++) puts(names[i]);
    return 0;
  }
  CHECK(argc == 3);
  if (strcmp(argv[1], "points") == 0) {
    points(argv[2]);
  } else if (strcmp(argv[1], "calls") == 0) {
    calls(argv[2]);
  } else {
    inside(argv[2]);
  }
  return 0;
}
