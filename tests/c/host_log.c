/*
 * A host whose log callback takes the mutex of its logger, as is usual.
 *
 *   host_log holding FILE   a thread that holds the mutex calls every function while the callback waits for the mutex
 *   host_log calling FILE   the callback calls every function
 *   host_log forking FILE   the callback forks, and the child calls every function
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "dbr/DynamsoftBarcodeReader.h"
#include "host.h"

static const char *picture;
static pthread_mutex_t logger = PTHREAD_MUTEX_INITIALIZER, mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int waiting, lines;

/* Returns the URL of a port at which no program listens. */
static char *dead_url(void) {
  static char url[64];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int bound = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_INT(0, bind(bound, (struct sockaddr *)&address, sizeof address));
  CHECK_INT(0, getsockname(bound, (struct sockaddr *)&address, &length));
  snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(address.sin_port));
  return url; /* It stays bound, so that no other program gets it. */
}

static int init_at(char *url) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  if (url) parameters.mainServerURL = url;
  return InitLicenseFromDLS(&parameters, NULL, 0);
}

static void nothing(int frame, TextResultArray *results, void *user) {
  (void)frame;
  (void)results;
  (void)user;
}

/* Calls every function that may block, take a lock of the library, or log a line. */
static void call_everything(int shutdown_ms) {
  static unsigned char pixels[64 * 64];
  SM_Reader *reader = NULL;
  SM_Holder holders[4];
  size_t count;
  char uuid[64];
  void *dbr;
  (void)init_at(NULL);
  status_now();
  if (SM_CreateReaderWithin(&reader, 1, NULL, 0) == 0) {
    (void)count_one(reader);
    (void)SM_CountScans(reader, 4, 1);
    (void)SM_SetDuplicateForgetTime(reader, 10);
  }
  (void)SM_CountPages(SM_PAGE_OCR, 1);
  (void)GetIdleInstancesCount();
  (void)SM_ListHolders(holders, 4, &count);
  (void)SM_GetDeviceUUID(uuid, sizeof uuid);
  (void)SM_Sync(5000, NULL, 0);
  SM_DestroyReader(reader);
  dbr = DBR_CreateInstance();
  (void)DBR_DecodeFile(dbr, picture, "");
  (void)DBR_SetTextResultCallback(dbr, nothing, NULL);
  if (DBR_StartFrameDecoding(dbr, 3, 3, 64, 64, 64, 2, "") == 0) (void)DBR_AppendFrame(dbr, pixels);
  (void)DBR_StopFrameDecoding(dbr);
  DBR_DestroyInstance(dbr);
  (void)SM_SetStateDirectory("/elsewhere");
  (void)SM_SetValidationField(0, "example.org");
  (void)SM_SetValidationField(0, "");
  (void)SM_SetCaFile("/elsewhere");
  (void)SM_Shutdown(shutdown_ms);
}

static void log_line(void *user, int level, const char *line) {
  (void)user;
  (void)level;
  (void)line;
  pthread_mutex_lock(&mutex);
  waiting++;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  pthread_mutex_lock(&logger);
  lines++;
  pthread_mutex_unlock(&logger);
}

/* Waits until the callback has been called. */
static void wait_for_callback(void) {
  pthread_mutex_lock(&mutex);
  while (waiting == 0) pthread_cond_wait(&changed, &mutex);
  waiting = 0;
  pthread_mutex_unlock(&mutex);
}

static void holding(void) {
  int round;
  CHECK_INT(0, SM_SetLogCallback(log_line, NULL));
  for (round = 0; round < 2; round++) {
    int before;
    pthread_mutex_lock(&logger);
    before = lines;
    /* The background or this call logs a failure. The thread that calls the callback waits for the mutex. */
    (void)init_at(dead_url());
    wait_for_callback();
    call_everything(200);
    CHECK_INT(SM_ERR_LICENSE_INIT_SEQUENCE_FAILED, SM_SetLogCallback(NULL, NULL));
    CHECK_INT(before, lines);
    pthread_mutex_unlock(&logger);
    CHECK_INT(0, SM_Shutdown(20000));
    pthread_mutex_lock(&logger);
    CHECK(lines > before);
    pthread_mutex_unlock(&logger);
  }
  CHECK_INT(0, SM_SetLogCallback(NULL, NULL));
  get_licensed();
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(20000));
}

static void call_from_log(void *user, int level, const char *line) {
  static int calls;
  (void)user;
  (void)level;
  (void)line;
  if (calls++ >= 3) return; /* Each of them logs more lines. */
  call_everything(20000);
  CHECK_INT(SM_ERR_LICENSE_INIT_SEQUENCE_FAILED, SM_SetLogCallback(NULL, NULL));
  pthread_mutex_lock(&mutex);
  lines++;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static void calling(void) {
  CHECK_INT(0, SM_SetLogCallback(call_from_log, NULL));
  (void)init_at(NULL);
  pthread_mutex_lock(&mutex);
  while (lines < 3) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
  while (SM_SetLogCallback(NULL, NULL) != 0) usleep(1000);
  get_licensed();
  CHECK_INT(4, GetIdleInstancesCount());
  report_all();
  CHECK_INT(0, SM_Shutdown(20000));
}

static void fork_in_log(void *user, int level, const char *line) {
  static int calls;
  int status;
  pid_t child;
  (void)user;
  (void)level;
  (void)line;
  if (calls++ >= 2) return;
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(HANG_SECONDS);
    call_everything(20000);
    CHECK_INT(0, SM_SetLogCallback(NULL, NULL));
    get_licensed();
    report_all();
    CHECK_INT(0, SM_Shutdown(20000));
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child);
  CHECK_INT(0, status);
  pthread_mutex_lock(&mutex);
  lines++;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static void forking(void) {
  CHECK_INT(0, SM_SetLogCallback(fork_in_log, NULL));
  (void)init_at(NULL);
  (void)init_at(dead_url());
  pthread_mutex_lock(&mutex);
  while (lines < 2) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
  get_licensed();
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(20000));
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  picture = argv[2];
  alarm(HANG_SECONDS);
  if (strcmp(argv[1], "holding") == 0) {
    holding();
  } else if (strcmp(argv[1], "forking") == 0) {
    forking();
  } else {
    calling();
  }
  return 0;
}
