/*
 * A host with both libraries in one process: a part of it uses seatmeter.h, another one the DBR API.
 *
 *   host_two_names work LIBRARY DBR_LIBRARY local|global PICTURE    prints what both have counted, and ends without a shutdown
 *   host_two_names rest LIBRARY DBR_LIBRARY local|global            all seats are back; reports what is left
 *
 * Each library behaves as another process of the device would: seats are shared, counts add up.
 */
#include <dlfcn.h>
#include <sys/wait.h>

#include "host.h"

#define SEATS 4
/* Barcodes of the picture. */
#define SCANS_A_PICTURE 4

static int (*init_parameters)(DM_DLSConnectionParameters *);
static int (*init)(const DM_DLSConnectionParameters *, char *, int);
static int (*idle)(void);
static int (*create)(SM_Reader **, char *, size_t);
static void (*destroy)(SM_Reader *);
static int (*count_image)(const SM_Reader *, const SM_Barcode *, size_t, size_t *);
static int (*shut_down)(int);
static int (*dbr_init)(const DM_DLSConnectionParameters *, char *, int);
static int (*dbr_idle)(void);
static void *(*dbr_create)(void);
static void (*dbr_destroy)(void *);
static int (*dbr_decode)(void *, const char *, const char *);
static int (*dbr_shut_down)(int);

static const char *picture;
static long counted;

/* ISO C has no conversion from a pointer to data to one to a function; POSIX has. */
static void look_up(void *handle, const char *name, void *field) {
  void *found = dlsym(handle, name);
  CHECK(found != NULL);
  memcpy(field, &found, sizeof found);
}

static void *load(const char *path, int flags) {
  void *handle = dlopen(path, RTLD_NOW | flags);
  if (!handle) fprintf(stderr, "%s\n", dlerror());
  CHECK(handle != NULL);
  return handle;
}

static void look_up_all(void *own, void *dbr) {
  look_up(own, "InitDLSConnectionParameters", &init_parameters);
  look_up(own, "InitLicenseFromDLS", &init);
  look_up(own, "GetIdleInstancesCount", &idle);
  look_up(own, "SM_CreateReader", &create);
  look_up(own, "SM_DestroyReader", &destroy);
  look_up(own, "SM_CountImage", &count_image);
  look_up(own, "SM_Shutdown", &shut_down);
  look_up(dbr, "DBR_InitLicenseFromDLS", &dbr_init);
  look_up(dbr, "DBR_GetIdleInstancesCount", &dbr_idle);
  look_up(dbr, "DBR_CreateInstance", &dbr_create);
  look_up(dbr, "DBR_DestroyInstance", &dbr_destroy);
  look_up(dbr, "DBR_DecodeFile", &dbr_decode);
  look_up(dbr, "SM_Shutdown", &dbr_shut_down);
  CHECK(shut_down != dbr_shut_down);
}

static void license_both(void) {
  static char code[] = "DEMO-4-SEATS";
  DM_DLSConnectionParameters parameters;
  CHECK_INT(0, init_parameters(&parameters));
  parameters.handshakeCode = code;
  parameters.deploymentType = 1;
  parameters.chargeWay = 10;
  parameters.maxConcurrentInstanceCount = SEATS;
  CHECK_INT(0, init(&parameters, NULL, 0));
  CHECK_INT(0, dbr_init(&parameters, NULL, 0));
}

static void both_see(int seats) {
  CHECK_INT(seats, idle());
  CHECK_INT(seats, dbr_idle());
}

/* Take a seat with each library, and count: a scan with one, a picture with the other. */
static void take_and_count(SM_Reader **own, void **dbr) {
  SM_Barcode barcode;
  barcode.format = 4;
  barcode.bytes = (const unsigned char *)"host";
  barcode.length = 4;
  CHECK_INT(0, create(own, NULL, 0));
  CHECK_INT(0, count_image(*own, &barcode, 1, NULL));
  *dbr = dbr_create();
  CHECK_INT(0, dbr_decode(*dbr, picture, ""));
  counted += 1 + SCANS_A_PICTURE;
}

/* If all seats are taken, neither library has another one. */
static void no_seat_is_had_twice(void) {
  SM_Reader *own[SEATS / 2], *more = NULL;
  void *dbr[SEATS / 2], *other;
  int i;
  for (i = 0; i < SEATS / 2; i++) take_and_count(&own[i], &dbr[i]);
  both_see(0);
  CHECK_INT(SM_ERR_INSTANCE_COUNT_OVER_LIMIT, create(&more, NULL, 0));
  other = dbr_create();
  CHECK_INT(SM_ERR_INSTANCE_COUNT_OVER_LIMIT, dbr_decode(other, picture, ""));
  destroy(own[0]);
  CHECK_INT(0, dbr_decode(other, picture, ""));
  counted += SCANS_A_PICTURE;
  both_see(0);
  dbr_destroy(other);
  dbr_destroy(dbr[0]);
  CHECK_INT(0, create(&more, NULL, 0));
  destroy(more);
  destroy(own[1]);
  dbr_destroy(dbr[1]);
  both_see(SEATS);
}

/* A child works with both, and ends without destroying its readers: by exit, or by _exit. */
static void children_come_and_go(int kill_them) {
  SM_Reader *own;
  void *dbr;
  int status;
  pid_t child;
  take_and_count(&own, &dbr);
  both_see(SEATS - 2);
  fflush(NULL);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    SM_Reader *childs_own;
    void *childs_dbr;
    license_both();
    take_and_count(&childs_own, &childs_dbr);
    both_see(SEATS - 4);
    if (kill_them) raise(SIGKILL);
    exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(kill_them ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
  counted += 1 + SCANS_A_PICTURE;
  both_see(SEATS - 2);
  destroy(own);
  dbr_destroy(dbr);
  both_see(SEATS);
}

int main(int argc, char **argv) {
  int flags;
  void *own, *dbr;
  CHECK(argc >= 5);
  alarm(HANG_SECONDS);
  flags = strcmp(argv[4], "global") == 0 ? RTLD_GLOBAL : RTLD_LOCAL;
  own = load(argv[2], flags);
  dbr = load(argv[3], flags);
  look_up_all(own, dbr);
  license_both();
  both_see(SEATS);
  if (strcmp(argv[1], "work") == 0) {
    SM_Reader *reader;
    void *instance;
    CHECK(argc == 6);
    picture = argv[5];
    no_seat_is_had_twice();
    children_come_and_go(0);
    children_come_and_go(1);
    /* One library is shut down, and the other continues. */
    CHECK_INT(0, shut_down(20000));
    CHECK_INT(SEATS, dbr_idle());
    license_both();
    take_and_count(&reader, &instance);
    printf("%ld\n", counted);
    /* Readers, threads and libraries are left as they are: the end of the process is enough. */
  } else {
    CHECK_INT(0, shut_down(20000));
    CHECK_INT(0, dbr_shut_down(20000));
  }
  CHECK_INT(0, dlclose(own));
  CHECK_INT(0, dlclose(dbr));
  return 0;
}
