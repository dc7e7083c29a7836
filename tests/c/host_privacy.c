/*
 * A program that reads with known contents, and says where it connects to. It answers each command with a line.
 *
 *   init WAY SEATS PASSWORD APPLICATION [CODE] · name NAME · file PATH · memory PATH · pixels PATH · frames PATH
 *   count TEXT · scans N · sync · status · host · destinations · shutdown
 *
 * "-" means that this word is not presented. What decodes answers the code, the number of results and the last text.
 */
#include <arpa/inet.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "dbr/DynamsoftBarcodeReader.h"

#define DESTINATIONS_MAX 4096

static SM_Reader *reader;
static void *dbr;
static atomic_int frames_read, destinations;
static int ports[DESTINATIONS_MAX];

/* Note where a connection or a datagram goes. 0 is anything that is not on loopback. */
static void note(const struct sockaddr *to) {
  const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)to;
  const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)to;
  int port = 0;
  if (to == NULL || to->sa_family == AF_UNIX || to->sa_family == AF_UNSPEC) return;
  if (to->sa_family == AF_INET && four->sin_addr.s_addr == htonl(INADDR_LOOPBACK)) port = ntohs(four->sin_port);
  if (to->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr)) port = ntohs(six->sin6_port);
  ports[atomic_fetch_add(&destinations, 1) % DESTINATIONS_MAX] = port;
}

/* These stand in front of the system's own for the library, too. */
int connect(int fd, const struct sockaddr *to, socklen_t length) {
  note(to);
  return (int)syscall(SYS_connect, fd, to, length);
}

ssize_t sendto(int fd, const void *bytes, size_t n, int flags, const struct sockaddr *to, socklen_t length) {
  note(to);
  return syscall(SYS_sendto, fd, bytes, n, flags, to, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  note((const struct sockaddr *)message->msg_name);
  return syscall(SYS_sendmsg, fd, message, flags);
}

static int init(const char *arguments) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  static char password[100], application[100], code[100], message[1024];
  int result;
  code[0] = 0;
  CHECK(sscanf(arguments, "%d %d %99s %99s %99s", &parameters.chargeWay, &parameters.maxConcurrentInstanceCount,
               password, application, code) >= 4);
  if (strcmp(password, "-") != 0) parameters.sessionPassword = password;
  if (strcmp(application, "-") != 0) CHECK_INT(0, SM_SetValidationField(1, application));
  if (code[0]) parameters.handshakeCode = code;
  result = InitLicenseFromDLS(&parameters, message, sizeof message);
  if (result != 0) fprintf(stderr, "%s\n", message);
  return result;
}

static unsigned char *contents(const char *path, int *size) {
  FILE *file = fopen(path, "rb");
  unsigned char *bytes;
  CHECK(file != NULL);
  CHECK_INT(0, fseek(file, 0, SEEK_END));
  *size = (int)ftell(file);
  rewind(file);
  bytes = (unsigned char *)malloc((size_t)*size);
  CHECK(bytes != NULL && fread(bytes, 1, (size_t)*size, file) == (size_t)*size);
  fclose(file);
  return bytes;
}

static const char *last_text(int code, const TextResultArray *results) {
  static char line[600];
  int n = results == NULL ? 0 : results->resultsCount;
  snprintf(line, sizeof line, "%d %d %s", code, n, n == 0 ? "" : results->results[n - 1]->barcodeText);
  return line;
}

static void decode(const char *how, const char *path) {
  TextResultArray *results = NULL;
  int size = 0, width, height, maximum, head, code;
  unsigned char *bytes = contents(path, &size);
  if (dbr == NULL) dbr = DBR_CreateInstance();
  if (strcmp(how, "file") == 0) {
    code = DBR_DecodeFile(dbr, path, "");
  } else if (strcmp(how, "memory") == 0) {
    code = DBR_DecodeFileInMemory(dbr, bytes, size, "");
  } else {
    CHECK_INT(3, sscanf((const char *)bytes, "P5 %d %d %d%n", &width, &height, &maximum, &head));
    code = DBR_DecodeBuffer(dbr, bytes + head + 1, width, height, width, IPF_GRAYSCALED, "");
  }
  DBR_GetAllTextResults(dbr, &results);
  printf("%s\n", last_text(code, results));
  DBR_FreeTextResults(&results);
  free(bytes);
}

static char frame_line[600];

static void on_frame(int frame, TextResultArray *results, void *user) {
  (void)frame, (void)user;
  snprintf(frame_line, sizeof frame_line, "%s", last_text(0, results));
  DBR_FreeTextResults(&results);
  atomic_fetch_add(&frames_read, 1);
}

static void frames(const char *path) {
  const struct timespec moment = {0, 1000000};
  FrameDecodingParameters parameters;
  int size = 0, maximum, head, i;
  unsigned char *bytes = contents(path, &size);
  void *video = DBR_CreateInstance();
  CHECK_INT(0, DBR_InitFrameDecodingParameters(video, &parameters));
  CHECK_INT(3, sscanf((const char *)bytes, "P5 %d %d %d%n", &parameters.width, &parameters.height, &maximum, &head));
  parameters.stride = parameters.width;
  parameters.imagePixelFormat = IPF_GRAYSCALED;
  parameters.maxQueueLength = 10;
  CHECK_INT(0, DBR_SetTextResultCallback(video, on_frame, NULL));
  CHECK_INT(0, DBR_StartFrameDecodingEx(video, parameters, ""));
  for (i = 0; i < 3; i++) CHECK_INT(i, DBR_AppendFrame(video, bytes + head + 1));
  while (atomic_load(&frames_read) < 3) nanosleep(&moment, NULL);
  DBR_StopFrameDecoding(video);
  DBR_DestroyInstance(video);
  free(bytes);
  printf("%s\n", frame_line);
}

static int count(const char *text) {
  SM_Barcode barcode;
  int code = reader == NULL ? SM_CreateReader(&reader, NULL, 0) : 0;
  barcode.format = 0x4000000;
  barcode.bytes = (const unsigned char *)text;
  barcode.length = strlen(text);
  return code == 0 ? SM_CountImage(reader, &barcode, 1, NULL) : code;
}

static void status(void) {
  SM_Status now;
  memset(&now, 0, sizeof now);
  now.size = sizeof now;
  CHECK_INT(0, SM_GetStatus(&now));
  printf("%d %d %s\n", now.state, now.cacheCode, now.lastError);
}

static void obey(char *line) {
  int i;
  char *argument, host[300] = "";
  line[strcspn(line, "\n")] = 0;
  argument = strchr(line, ' ');
  if (argument != NULL) *argument++ = 0;
  if (strcmp(line, "init") == 0) {
    printf("%d\n", init(argument));
  } else if (strcmp(line, "name") == 0) {
    printf("%d\n", SM_SetDeviceFriendlyName(argument));
  } else if (strcmp(line, "frames") == 0) {
    frames(argument);
  } else if (strcmp(line, "count") == 0) {
    printf("%d\n", count(argument));
  } else if (strcmp(line, "scans") == 0) {
    printf("%d\n", SM_CountScans(reader, 1, strtoul(argument, NULL, 10)));
  } else if (strcmp(line, "sync") == 0) {
    printf("%d\n", SM_Sync(20000, NULL, 0));
  } else if (strcmp(line, "status") == 0) {
    status();
  } else if (strcmp(line, "host") == 0) {
    CHECK_INT(0, gethostname(host, sizeof host));
    printf("%s\n", host);
  } else if (strcmp(line, "destinations") == 0) {
    for (i = 0; i < atomic_load(&destinations) && i < DESTINATIONS_MAX; i++) printf("%d ", ports[i]);
    printf("\n");
  } else if (strcmp(line, "shutdown") == 0) {
    SM_DestroyReader(reader);
    if (dbr != NULL) DBR_DestroyInstance(dbr);
    reader = NULL, dbr = NULL;
    printf("%d\n", SM_Shutdown(20000));
  } else {
    decode(line, argument);
  }
  fflush(stdout);
}

int main(void) {
  char line[2000];
  while (fgets(line, sizeof line, stdin) != NULL) obey(line);
  return 0;
}
