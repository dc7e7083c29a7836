/*
 * A host that shuts the library down while a server accepts and says nothing.
 *
 *   host_shutdown requests   requests of the background and of other threads are under way
 *   host_shutdown together   several threads shut down, initialize and report at once
 *   host_shutdown callback   the log callback shuts down, in whatever thread it is called
 *   host_shutdown cleared    the log callback is taken back while a request is under way
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "host.h"

#define CONNECTIONS 64

static int listener;
static char silent_url[64];
static uint16_t silent_port;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int accepted;

static void *accept_and_say_nothing(void *unused) {
  for (;;) {
    if (accept(listener, NULL, NULL) < 0) return unused;
    pthread_mutex_lock(&mutex);
    accepted++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
  }
}

static void wait_for_request(int number) {
  pthread_mutex_lock(&mutex);
  while (accepted < number) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
}

static void be_silent(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  pthread_t thread;
  listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(listener >= 0);
  CHECK_INT(0, bind(listener, (struct sockaddr *)&address, sizeof address));
  CHECK_INT(0, listen(listener, CONNECTIONS));
  CHECK_INT(0, getsockname(listener, (struct sockaddr *)&address, &length));
  silent_port = ntohs(address.sin_port);
  snprintf(silent_url, sizeof silent_url, "http://127.0.0.1:%d", silent_port);
  CHECK_INT(0, pthread_create(&thread, NULL, accept_and_say_nothing, NULL));
}

/* Sockets of the library: those that are connected with the silent server. */
static int requests_open(void) {
  int fd, count = 0;
  for (fd = 0; fd < 1024; fd++) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && peer.sin_family == AF_INET)
      count += ntohs(peer.sin_port) == silent_port;
  }
  return count;
}

static int threads_now(void) {
  int count = 0;
  struct dirent *entry;
  DIR *tasks = opendir("/proc/self/task");
  CHECK(tasks != NULL);
  while ((entry = readdir(tasks)) != NULL) count += entry->d_name[0] != '.';
  closedir(tasks);
  return count;
}

static atomic_int is_over, lines, late_lines;

static void listen_to(void *user, int level, const char *line) {
  (void)user;
  (void)level;
  (void)line;
  atomic_fetch_add(atomic_load(&is_over) ? &late_lines : &lines, 1);
}

/* The stored license is used at once. Then the background asks the silent server. */
static int init_at(char *url, const char *code) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  parameters.mainServerURL = url;
  if (code) parameters.handshakeCode = (char *)code;
  return InitLicenseFromDLS(&parameters, NULL, 0);
}

static void *init_with_another_code(void *result) {
  *(int *)result = init_at(silent_url, "ANOTHER-CODE");
  return NULL;
}

static void *sync_for_ever(void *result) {
  *(int *)result = SM_Sync(600000, NULL, 0);
  return NULL;
}

/* Another process gets the license. This one has not asked a server yet, and asks in the background. */
static void let_another_get_licensed(void) {
  int status;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    get_licensed();
    CHECK_INT(0, SM_Shutdown(20000));
    exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child);
  CHECK_INT(0, status);
}

static void requests(void) {
  int threads, round;
  pthread_t initializing, reporting;
  let_another_get_licensed();
  be_silent();
  CHECK_INT(0, SM_SetLogCallback(listen_to, NULL));
  threads = threads_now();
  for (round = 0; round < 4; round++) {
    int begun = accepted, initialized = 0, reported = 0;
    atomic_store(&is_over, 0);
    CHECK_INT(0, init_at(silent_url, NULL));
    wait_for_request(begun + 1);
    CHECK_INT(0, pthread_create(&initializing, NULL, init_with_another_code, &initialized));
    CHECK_INT(0, pthread_create(&reporting, NULL, sync_for_ever, &reported));
    wait_for_request(begun + 2);
    (void)SM_Shutdown(round % 2 ? 500 : 0);
    atomic_store(&is_over, 1);
    CHECK_INT(0, requests_open());
    CHECK_INT(0, pthread_join(initializing, NULL));
    CHECK_INT(0, pthread_join(reporting, NULL));
    CHECK_INT(SM_ERR_LICENSE_INIT_SEQUENCE_FAILED, initialized);
    /* The thread may have come to its call only after the shutdown. */
    CHECK(reported == SM_ERR_LICENSE_INIT_SEQUENCE_FAILED || reported == SM_ERR_NO_LICENSE);
    while (threads_now() > threads) usleep(1000); /* The kernel takes a moment to forget one that has ended. */
    CHECK_INT(-1, GetIdleInstancesCount());
  }
  CHECK(atomic_load(&lines) > 0);
  CHECK_INT(0, atomic_load(&late_lines));
  /* The library works again at once. */
  atomic_store(&is_over, 0);
  get_licensed();
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Sync(20000, NULL, 0));
  CHECK_INT(0, SM_Shutdown(20000));
}

static atomic_int is_done;

static void *shut_down_again_and_again(void *unused) {
  while (!atomic_load(&is_done)) {
    int code = SM_Shutdown(20000);
    CHECK(code == 0 || code == SM_ERR_FAILED_TO_REACH_SERVER || code == SM_ERR_LICENSE_INIT_SEQUENCE_FAILED);
  }
  return unused;
}

static void *work_again_and_again(void *unused) {
  int i;
  for (i = 0; i < 30; i++) {
    SM_Reader *reader;
    int code = init_at(NULL, NULL);
    CHECK(code == 0 || code == SM_ERR_LICENSE_INIT_SEQUENCE_FAILED);
    if (SM_CreateReader(&reader, NULL, 0) == 0) {
      (void)count_one(reader);
      SM_DestroyReader(reader);
    }
    (void)SM_Sync(20000, NULL, 0);
  }
  return unused;
}

static void together(void) {
  pthread_t threads[4];
  int i;
  for (i = 0; i < 4; i++) {
    CHECK_INT(0, pthread_create(&threads[i], NULL, i < 2 ? shut_down_again_and_again : work_again_and_again, NULL));
  }
  for (i = 2; i < 4; i++) CHECK_INT(0, pthread_join(threads[i], NULL));
  atomic_store(&is_done, 1);
  for (i = 0; i < 2; i++) CHECK_INT(0, pthread_join(threads[i], NULL));
  get_licensed();
  CHECK_INT(4, GetIdleInstancesCount());
  report_all();
  CHECK_INT(0, SM_Shutdown(20000));
}

static int shutdowns;

static void shut_down_here(void *user, int level, const char *line) {
  (void)level;
  if ((strcmp(line, "licensed") == 0) != *(int *)user) return;
  (void)SM_Shutdown(20000);
  pthread_mutex_lock(&mutex);
  shutdowns++;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static void callback(void) {
  int is_of_call = 0;
  let_another_get_licensed();
  /* The background has found no server at this port, and may be asking again. */
  be_silent();
  shutdown(listener, SHUT_RDWR);
  close(listener);
  for (is_of_call = 0; is_of_call < 2; is_of_call++) {
    CHECK_INT(0, SM_SetLogCallback(shut_down_here, &is_of_call));
    CHECK_INT(0, init_at(silent_url, NULL));
    pthread_mutex_lock(&mutex);
    while (shutdowns <= is_of_call) pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
    while (SM_SetLogCallback(NULL, NULL) != 0) usleep(1000);
    CHECK_INT(-1, GetIdleInstancesCount());
  }
  get_licensed();
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(20000));
}

static void cleared(void) {
  pthread_t thread;
  int result = 0;
  CHECK_INT(0, SM_SetLogCallback(listen_to, NULL));
  be_silent();
  CHECK_INT(0, pthread_create(&thread, NULL, init_with_another_code, &result));
  wait_for_request(1);
  CHECK_INT(0, SM_SetLogCallback(NULL, NULL));
  atomic_store(&is_over, 1);
  (void)SM_Shutdown(0);
  CHECK_INT(0, pthread_join(thread, NULL));
  CHECK_INT(SM_ERR_LICENSE_INIT_SEQUENCE_FAILED, result);
  CHECK_INT(0, atomic_load(&late_lines));
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  alarm(HANG_SECONDS);
  if (strcmp(argv[1], "requests") == 0) {
    requests();
  } else if (strcmp(argv[1], "together") == 0) {
    together();
  } else if (strcmp(argv[1], "callback") == 0) {
    callback();
  } else {
    cleared();
  }
  return 0;
}
