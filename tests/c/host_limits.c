/*
 * A host with little: no standard descriptors, few descriptors, little address space.
 *
 *   host_limits closed FILE
 *   host_limits descriptors FILE
 *   host_limits taken FILE           closes all descriptors, as a daemon does, and opens files of its own in their place
 *   host_limits memory FILE MIB      MIB of address space beyond what the program has
 *   host_limits picture FILE MIB     the same, for a picture that needs more, once the program is licensed
 *   host_limits text FILE MIB        the same, for a picture of 47 MiB in a base64 text of 64 MiB
 *   host_limits frame FILE MIB       the same, for a frame of 34 MiB
 */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "dbr/DynamsoftBarcodeReader.h"
#include "host.h"

/* The sizes of the large picture and of frames. */
#define SIDE 6000

static atomic_int is_over;

/* A host without standard output and error that still prints. */
static void *print_on(void *unused) {
  static const char garbage[] = "this is written into whatever has become descriptor 1 or 2\n";
  while (!atomic_load(&is_over)) {
    ssize_t written = write(1, garbage, sizeof garbage - 1);
    written += write(2, garbage, sizeof garbage - 1);
    (void)written;
  }
  return unused;
}

static int decode(const char *file) {
  void *dbr = DBR_CreateInstance();
  int code = DBR_DecodeFile(dbr, file, "");
  DBR_DestroyInstance(dbr);
  return code;
}

static int run(const char *file) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  SM_Reader *reader;
  int code = InitLicenseFromDLS(&parameters, NULL, 0);
  if (code == 0) code = SM_CreateReader(&reader, NULL, 0);
  if (code != 0) return code;
  code = count_one(reader);
  if (code == 0) code = decode(file);
  if (code == 0) code = SM_Sync(20000, NULL, 0);
  SM_DestroyReader(reader);
  return code;
}

/* Ends with a number that says what failed, because nothing can be printed. */
static void closed(const char *file) {
  pthread_t thread;
  int i, round;
  for (i = 0; i < 3; i++) close(i);
  if (pthread_create(&thread, NULL, print_on, NULL) != 0) _exit(10);
  for (round = 0; round < 20; round++) {
    if (run(file) != 0) _exit(11);
    if (SM_Shutdown(20000) != 0) _exit(12);
  }
  atomic_store(&is_over, 1);
  if (pthread_join(thread, NULL) != 0) _exit(13);
  /* A host that closes them expects to get their numbers: the library has left nothing there. */
  for (i = 0; i < 3; i++) {
    if (open("/dev/null", O_RDWR) != i) _exit(14);
  }
  _exit(0);
}

/* Prints a failure. */
static void check_explained(int code) {
  CHECK(code <= 0 && code > -30000);
  CHECK(strlen(SM_GetErrorString(code)) > 0);
}

static void descriptors(const char *file) {
  int limit;
  struct rlimit full, few;
  CHECK_INT(0, getrlimit(RLIMIT_NOFILE, &full));
  for (limit = 3; limit <= 24; limit++) {
    few = full;
    few.rlim_cur = (rlim_t)limit;
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &few));
    check_explained(run(file));
    (void)SM_Shutdown(2000);
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &full));
  }
  /* It works again as soon as there are descriptors. */
  CHECK_INT(0, run(file));
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(20000));
}

#define OWN 41

static int open_descriptors(void) {
  int i, count = 0;
  for (i = 3; i < 256; i++) count += fcntl(i, F_GETFD) != -1;
  return count;
}

/* A host that closes all descriptors during a request has no promise. So wait until nothing was opened for a second. */
static void wait_until_quiet(void) {
  int quiet, last = open_descriptors();
  for (quiet = 0; quiet < 50; quiet++) {
    int now;
    usleep(20000);
    now = open_descriptors();
    if (now != last) quiet = 0;
    last = now;
  }
}

static void taken(const char *file) {
  struct stat before[OWN], after;
  SM_Reader *reader;
  int i, round, pair[2];
  get_licensed();
  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  CHECK_INT(0, SM_Sync(20000, NULL, 0));
  wait_until_quiet();
  for (i = 3; i < 256; i++) close(i);
  /* Sockets, not files: in a test's build tokio has a pair of sockets that it checks, because the server needs them. */
  for (i = 3; i < OWN; i += 2) CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  CHECK(pair[0] == OWN - 2 && pair[1] == OWN - 1);
  for (i = 3; i < OWN; i++) CHECK_INT(0, fstat(i, &before[i]));
  for (round = 0; round < 3; round++) {
    CHECK_INT(0, count_one(reader));
    CHECK_INT(0, SM_Sync(20000, NULL, 0));
    CHECK_INT(3, GetIdleInstancesCount());
  }
  SM_DestroyReader(reader);
  CHECK_INT(0, SM_Shutdown(20000));
  CHECK_INT(0, run(file));
  CHECK_INT(0, SM_Shutdown(20000));
  /* The library has not closed these descriptors again after they became the host's. */
  for (i = 3; i < OWN; i++) {
    CHECK_INT(0, fstat(i, &after));
    CHECK(before[i].st_ino == after.st_ino && before[i].st_dev == after.st_dev);
  }
}

static long mapped_kib(void) {
  char line[200];
  long kib = 0;
  FILE *status = fopen("/proc/self/status", "r");
  CHECK(status != NULL);
  while (fgets(line, sizeof line, status)) sscanf(line, "VmSize: %ld", &kib);
  fclose(status);
  CHECK(kib > 0);
  return kib;
}

/* Limits the address space to this much more than the program has; returns the old limit. */
static struct rlimit leave(long mib) {
  struct rlimit full, little;
  CHECK_INT(0, getrlimit(RLIMIT_AS, &full));
  little = full;
  little.rlim_cur = ((rlim_t)mapped_kib() << 10) + ((rlim_t)mib << 20);
  CHECK_INT(0, setrlimit(RLIMIT_AS, &little));
  return full;
}

typedef int (*Read)(void *dbr, const char *what);

/* Reads something with little address space, once the program is licensed. */
static void read_with(Read read, const char *what, long mib) {
  struct rlimit full;
  void *dbr;
  int code;
  get_licensed();
  /* Calls without a picture have enough memory. */
  CHECK_INT(0, SM_Sync(20000, NULL, 0));
  dbr = DBR_CreateInstance();
  /* The gray picture, as large as the colored one. */
  CHECK_INT(0, DBR_StartFrameDecoding(dbr, 3, 3, SIDE, SIDE, SIDE, 2, ""));
  full = leave(mib);
  code = read(dbr, what);
  CHECK_INT(0, setrlimit(RLIMIT_AS, &full));
  printf("%d\n", code);
  CHECK_INT(0, DBR_StopFrameDecoding(dbr));
  DBR_DestroyInstance(dbr);
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(20000));
}

static int read_file(void *dbr, const char *file) { return DBR_DecodeFile(dbr, file, ""); }

static int read_text(void *dbr, const char *text) { return DBR_DecodeBase64String(dbr, text, ""); }

static int read_frame(void *dbr, const char *pixels) { return DBR_AppendFrame(dbr, (unsigned char *)pixels); }

static void picture(const char *file, long mib) { read_with(read_file, file, mib); }

static void text(const char *file, long mib) {
  const size_t length = (size_t)64 << 20;
  char *text = malloc(length + 1);
  (void)file;
  CHECK(text != NULL);
  memset(text, 'A', length);
  /* The white space must be removed. */
  text[length / 2] = '\n';
  text[length] = 0;
  read_with(read_text, text, mib);
  free(text);
}

static void frame(const char *file, long mib) {
  char *pixels = calloc(SIDE, SIDE);
  (void)file;
  CHECK(pixels != NULL);
  read_with(read_frame, pixels, mib);
  free(pixels);
}

static void memory(const char *file, long mib) {
  struct rlimit full = leave(mib);
  int code = run(file);
  check_explained(code);
  CHECK_INT(0, setrlimit(RLIMIT_AS, &full));
  printf("%d\n", code);
  CHECK_INT(0, run(file));
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(20000));
}

int main(int argc, char **argv) {
  CHECK(argc >= 3);
  alarm(4 * HANG_SECONDS);
  /* Else a thread that begins maps 64 MiB for itself, and may do so between our look at what there is and the limit. (A
     sanitizer's allocator has no arenas, and says so.) */
  mallopt(M_ARENA_MAX, 1);
  if (strcmp(argv[1], "closed") == 0) {
    closed(argv[2]);
  } else if (strcmp(argv[1], "descriptors") == 0) {
    descriptors(argv[2]);
  } else if (strcmp(argv[1], "taken") == 0) {
    taken(argv[2]);
  } else {
    static const struct {
      const char *name;
      void (*with)(const char *file, long mib);
    } kinds[] = {{"memory", memory}, {"picture", picture}, {"text", text}, {"frame", frame}};
    size_t i = 0;
    CHECK(argc == 4);
    while (i < 4 && strcmp(argv[1], kinds[i].name) != 0) i++;
    CHECK(i < 4);
    kinds[i].with(argv[2], atol(argv[3]));
  }
  return 0;
}
