/*
 * A host that forks: 1 000 times while its threads work, into children that have threads themselves, or as a server that
 * forks its workers before they serve.
 *
 *   host_forks load FORKS      prints the scans that were counted
 *   host_forks threads FORKS   prints the scans that were counted
 *   host_forks decoding FORKS  prints how many children had a reader that a thread of the parent was using
 *   host_forks workers KILLS   prints the least and the greatest possible count: a kill leaves one open
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "dbr/DynamsoftBarcodeReader.h"
#include "host.h"

static atomic_int is_over;
static atomic_long counted;

static void *work(void *unused) {
  while (!atomic_load(&is_over)) {
    SM_Reader *reader;
    CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
    CHECK_INT(0, count_one(reader));
    atomic_fetch_add(&counted, 1);
    SM_DestroyReader(reader);
    usleep(200);
  }
  return unused;
}

static void *talk(void *unused) {
  while (!atomic_load(&is_over)) {
    (void)SM_Sync(1000, NULL, 0);
    status_now();
  }
  return unused;
}

/* A child uses the library, destroys what it has inherited, and ends. */
static void be_a_child(SM_Reader *inherited, int round) {
  SM_Reader *own;
  alarm(HANG_SECONDS);
  SM_DestroyReader(inherited);
  CHECK_INT(0, SM_CreateReader(&own, NULL, 0));
  CHECK_INT(0, count_one(own));
  CHECK(GetIdleInstancesCount() >= 0);
  if (round % 2 == 0) SM_DestroyReader(own);
  if (round % 50 == 0) (void)SM_Shutdown(1000);
  if (round % 3 == 0) exit(0);
  _exit(0);
}

static void load(int forks) {
  SM_Reader *reader;
  pthread_t threads[3];
  int round;
  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  CHECK_INT(0, pthread_create(&threads[0], NULL, work, NULL));
  CHECK_INT(0, pthread_create(&threads[1], NULL, work, NULL));
  CHECK_INT(0, pthread_create(&threads[2], NULL, talk, NULL));
  for (round = 0; round < forks; round++) {
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) be_a_child(reader, round);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(0, status);
    CHECK_INT(0, count_one(reader));
    atomic_fetch_add(&counted, 2);
  }
  atomic_store(&is_over, 1);
  for (round = 0; round < 3; round++) CHECK_INT(0, pthread_join(threads[round], NULL));
  CHECK_INT(3, GetIdleInstancesCount());
  SM_DestroyReader(reader);
  CHECK_INT(4, GetIdleInstancesCount());
  report_all();
  CHECK_INT(0, SM_Shutdown(20000));
  printf("%ld\n", atomic_load(&counted));
}

#define THREADS 4

static pthread_barrier_t all_are_there;

static void *use_at_once(void *unused) {
  SM_Reader *reader;
  pthread_barrier_wait(&all_are_there);
  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  CHECK_INT(0, count_one(reader));
  SM_DestroyReader(reader);
  return unused;
}

/* All threads of a child use the library at the same moment, for the first time. */
static void be_many(void) {
  pthread_t threads[THREADS];
  int i;
  alarm(HANG_SECONDS);
  CHECK_INT(0, pthread_barrier_init(&all_are_there, NULL, THREADS));
  for (i = 0; i < THREADS; i++) CHECK_INT(0, pthread_create(&threads[i], NULL, use_at_once, NULL));
  for (i = 0; i < THREADS; i++) CHECK_INT(0, pthread_join(threads[i], NULL));
  exit(0);
}

/* A child that only asks for its identity, and forks again, as a program does that becomes a daemon. */
static void be_between(void) {
  char uuid[33];
  int status = 0;
  pid_t child;
  CHECK_INT(0, SM_GetDeviceUUID(uuid, sizeof uuid));
  child = fork();
  CHECK(child >= 0);
  if (child == 0) be_many();
  CHECK(waitpid(child, &status, 0) == child);
  exit(status == 0 ? 0 : 1);
}

static void threads_of_children(int forks) {
  int round, status;
  for (round = 0; round < forks; round++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0 && round % 2 == 0) be_many();
    if (child == 0) be_between();
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(0, status);
  }
  CHECK_INT(4, GetIdleInstancesCount());
  report_all();
  CHECK_INT(0, SM_Shutdown(20000));
  printf("%d\n", forks * THREADS);
}

#define SIDE 1200

static unsigned char blank[SIDE * SIDE];
static void *shared_reader;

static void *decode(void *unused) {
  while (!atomic_load(&is_over)) {
    CHECK_INT(0, DBR_DecodeBuffer(shared_reader, blank, SIDE, SIDE, SIDE, IPF_GRAYSCALED, ""));
  }
  return unused;
}

/* A child may destroy a reader that another thread of its parent was using. Any other use of it is an error. */
static void decode_in_a_child(void) {
  void *own = DBR_CreateInstance();
  int code;
  alarm(HANG_SECONDS);
  code = DBR_DecodeBuffer(shared_reader, blank, 60, 60, SIDE, IPF_GRAYSCALED, "");
  CHECK(code == 0 || code == SM_ERR_UNKNOWN);
  DBR_DestroyInstance(shared_reader);
  CHECK_INT(0, DBR_DecodeBuffer(own, blank, 60, 60, SIDE, IPF_GRAYSCALED, ""));
  DBR_DestroyInstance(own);
  exit(code == 0 ? 0 : 1);
}

static void decoding(int forks) {
  pthread_t thread;
  int round, status, busy = 0;
  shared_reader = DBR_CreateInstance();
  CHECK_INT(0, pthread_create(&thread, NULL, decode, NULL));
  for (round = 0; round < forks; round++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) decode_in_a_child();
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
    busy += WEXITSTATUS(status);
  }
  atomic_store(&is_over, 1);
  CHECK_INT(0, pthread_join(thread, NULL));
  CHECK_INT(3, GetIdleInstancesCount());
  DBR_DestroyInstance(shared_reader);
  CHECK_INT(0, SM_Shutdown(20000));
  printf("%d\n", busy);
}

#define WORKERS 4

typedef struct Worker {
  pid_t process;
  atomic_long begun;
  atomic_long done;
} Worker;

static volatile sig_atomic_t is_told_to_end;

static void end(int signal_number) {
  (void)signal_number;
  is_told_to_end = 1;
}

static void serve(Worker *worker) {
  SM_Reader *reader;
  signal(SIGTERM, end);
  alarm(HANG_SECONDS);
  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  while (!is_told_to_end) {
    atomic_fetch_add(&worker->begun, 1);
    CHECK_INT(0, count_one(reader));
    atomic_fetch_add(&worker->done, 1);
    usleep(100);
  }
  SM_DestroyReader(reader);
  exit(SM_Shutdown(10000) == 0 ? 0 : 3);
}

static void start(Worker *worker) {
  long before = atomic_load(&worker->done);
  pid_t process = fork();
  CHECK(process >= 0);
  if (process == 0) serve(worker);
  worker->process = process;
  /* It serves, so the seat of the worker before it has come back. */
  while (atomic_load(&worker->done) == before) {
    CHECK_INT(0, waitpid(process, NULL, WNOHANG));
    usleep(100);
  }
}

static void workers(int kills) {
  Worker *all = mmap(NULL, WORKERS * sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  long begun = 0, done = 0;
  int i, status;
  CHECK(all != MAP_FAILED);
  for (i = 0; i < WORKERS; i++) start(&all[i]);
  CHECK_INT(0, GetIdleInstancesCount());
  for (i = 0; i < kills; i++) {
    Worker *worker = &all[i % WORKERS];
    CHECK_INT(0, kill(worker->process, SIGKILL));
    CHECK(waitpid(worker->process, &status, 0) == worker->process);
    start(worker);
  }
  for (i = 0; i < WORKERS; i++) {
    CHECK_INT(0, kill(all[i].process, SIGTERM));
    CHECK(waitpid(all[i].process, &status, 0) == all[i].process);
    CHECK_INT(0, status);
    begun += atomic_load(&all[i].begun);
    done += atomic_load(&all[i].done);
  }
  CHECK_INT(WORKERS, GetIdleInstancesCount());
  report_all();
  CHECK_INT(0, SM_Shutdown(20000));
  printf("%ld %ld\n", done, begun);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  alarm(4 * HANG_SECONDS);
  get_licensed();
  if (strcmp(argv[1], "load") == 0) {
    load(atoi(argv[2]));
  } else if (strcmp(argv[1], "threads") == 0) {
    threads_of_children(atoi(argv[2]));
  } else if (strcmp(argv[1], "decoding") == 0) {
    decoding(atoi(argv[2]));
  } else {
    workers(atoi(argv[2]));
  }
  return 0;
}
