/*
 * A host that loads the library as a plug-in: repeatedly from threads that end, or two copies at once.
 *
 *   host_loading threads LIBRARY ROUNDS
 *   host_loading twice LIBRARY COPY
 *
 * The library is not linked. The program looks its functions up.
 */
#include <dlfcn.h>
#include <pthread.h>

#include "host.h"

#define THREADS 8

typedef struct Library {
  void *handle;
  int (*init_parameters)(DM_DLSConnectionParameters *);
  int (*init)(const DM_DLSConnectionParameters *, char *, int);
  int (*idle)(void);
  int (*create)(SM_Reader **, char *, size_t);
  void (*destroy)(SM_Reader *);
  int (*count_image)(const SM_Reader *, const SM_Barcode *, size_t, size_t *);
  int (*shutdown)(int);
} Library;

/* ISO C has no conversion from a pointer to data to one to a function; POSIX has. */
#define LOOK_UP(library, field, name)                      \
  do {                                                     \
    void *found = dlsym((library).handle, name);           \
    CHECK(found != NULL);                                  \
    memcpy(&(library).field, &found, sizeof found);        \
  } while (0)

static Library load(const char *path) {
  Library library;
  library.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library.handle) fprintf(stderr, "%s\n", dlerror());
  CHECK(library.handle != NULL);
  LOOK_UP(library, init_parameters, "InitDLSConnectionParameters");
  LOOK_UP(library, init, "InitLicenseFromDLS");
  LOOK_UP(library, idle, "GetIdleInstancesCount");
  LOOK_UP(library, create, "SM_CreateReader");
  LOOK_UP(library, destroy, "SM_DestroyReader");
  LOOK_UP(library, count_image, "SM_CountImage");
  LOOK_UP(library, shutdown, "SM_Shutdown");
  return library;
}

static void license(const Library *library) {
  static char code[] = "DEMO-4-SEATS";
  DM_DLSConnectionParameters parameters;
  CHECK_INT(0, library->init_parameters(&parameters));
  parameters.handshakeCode = code;
  parameters.deploymentType = 1;
  parameters.chargeWay = 10;
  parameters.maxConcurrentInstanceCount = 4;
  CHECK_INT(0, library->init(&parameters, NULL, 0));
}

static SM_Reader *read_one(const Library *library) {
  SM_Reader *reader = NULL;
  SM_Barcode barcode;
  int code = library->create(&reader, NULL, 0);
  if (code == SM_ERR_INSTANCE_COUNT_OVER_LIMIT) return NULL;
  CHECK_INT(0, code);
  barcode.format = 4;
  barcode.bytes = (const unsigned char *)"host";
  barcode.length = 4;
  CHECK_INT(0, library->count_image(reader, &barcode, 1, NULL));
  return reader;
}

static const char *library_path;
static atomic_int rounds_left;
static atomic_long counted;

static void *load_use_unload(void *unused) {
  Library library = load(library_path);
  SM_Reader *reader;
  license(&library);
  reader = read_one(&library);
  if (reader) atomic_fetch_add(&counted, 1);
  library.destroy(reader);
  CHECK_INT(0, dlclose(library.handle));
  return unused;
}

/* Each round runs in a thread of its own. So each thread that has used the library ends after it was unloaded. */
static void *have_threads_end(void *unused) {
  while (atomic_fetch_sub(&rounds_left, 1) > 0) {
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, load_use_unload, NULL));
    CHECK_INT(0, pthread_join(thread, NULL));
  }
  return unused;
}

static void from_threads(const char *path, int rounds) {
  pthread_t threads[THREADS];
  Library library;
  int i;
  library_path = path;
  atomic_store(&rounds_left, rounds);
  for (i = 0; i < THREADS; i++) CHECK_INT(0, pthread_create(&threads[i], NULL, have_threads_end, NULL));
  for (i = 0; i < THREADS; i++) CHECK_INT(0, pthread_join(threads[i], NULL));
  library = load(path);
  license(&library);
  CHECK_INT(4, library.idle());
  CHECK_INT(0, library.shutdown(20000));
  CHECK_INT(0, dlclose(library.handle));
  printf("%ld\n", atomic_load(&counted));
}

/* Two copies share the device's seats and its license, as two processes do. */
static void twice(const char *path, const char *copy) {
  Library one = load(path), other = load(copy);
  SM_Reader *readers[2];
  CHECK(one.create != other.create);
  license(&one);
  license(&other);
  readers[0] = read_one(&one);
  readers[1] = read_one(&other);
  CHECK_INT(2, one.idle());
  CHECK_INT(2, other.idle());
  one.destroy(readers[0]);
  CHECK_INT(3, other.idle());
  CHECK_INT(0, one.shutdown(20000));
  CHECK_INT(0, dlclose(one.handle));
  other.destroy(readers[1]);
  CHECK_INT(4, other.idle());
  other.destroy(read_one(&other));
  CHECK_INT(0, other.shutdown(20000));
  license(&one);
  CHECK_INT(4, one.idle());
  CHECK_INT(0, one.shutdown(20000));
  printf("3\n");
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  alarm(4 * HANG_SECONDS);
  if (strcmp(argv[1], "threads") == 0) {
    from_threads(argv[2], atoi(argv[3]));
  } else {
    twice(argv[2], argv[3]);
  }
  return 0;
}
