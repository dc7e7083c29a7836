/*
 * A process that a test controls. It reads commands and answers each with a line.
 *
 *   take · within MS · give · idle · list · fork · shutdown
 *
 * "fork" continues in a child while the parent sleeps, so that the test can see what a child has.
 */
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

static SM_Reader *readers[64];
static int count;

static void take(int timeout_ms) {
  int code = timeout_ms < 0 ? SM_CreateReader(&readers[count], NULL, 0)
                            : SM_CreateReaderWithin(&readers[count], timeout_ms, NULL, 0);
  if (code == 0) count++;
  printf("%d\n", code);
}

static void list(void) {
  SM_Holder holders[8];
  size_t i, n = 0;
  CHECK_INT(0, SM_ListHolders(holders, 8, &n));
  printf("%zu:", n);
  for (i = 0; i < n; i++) {
    CHECK(holders[i].since > 0);
    printf(" %d/%s/%u", holders[i].pid, holders[i].name, holders[i].seats);
  }
  printf("\n");
}

int main(int argc, char **argv) {
  char line[100];
  DM_DLSConnectionParameters parameters = demo_parameters();
  if (argc > 1) parameters.maxConcurrentInstanceCount = atoi(argv[1]);
  printf("%d\n", InitLicenseFromDLS(&parameters, NULL, 0));
  fflush(stdout);
  /* Read one byte at a time, so that a child gets the rest after fork. */
  setvbuf(stdin, NULL, _IONBF, 0);
  while (fgets(line, sizeof line, stdin)) {
    if (strncmp(line, "take", 4) == 0) {
      take(-1);
    } else if (strncmp(line, "within", 6) == 0) {
      take(atoi(line + 7));
    } else if (strncmp(line, "give", 4) == 0) {
      SM_DestroyReader(readers[--count]);
      printf("0\n");
    } else if (strncmp(line, "idle", 4) == 0) {
      printf("%d\n", GetIdleInstancesCount());
    } else if (strncmp(line, "list", 4) == 0) {
      list();
    } else if (strncmp(line, "shutdown", 8) == 0) {
      printf("%d\n", SM_Shutdown(5000));
    } else if (strncmp(line, "fork", 4) == 0) {
      pid_t child = fork();
      CHECK(child >= 0);
      if (child == 0) {
        printf("child\n");
      } else {
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        printf("parent %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
      }
    } else if (strncmp(line, "exit", 4) == 0) {
      fflush(stdout);
      _exit(0);
    }
    fflush(stdout);
  }
  return 0;
}
