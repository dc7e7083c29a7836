/* A program that goes on after no server was reached: each call that needs a license gives that reason. */
#define _POSIX_C_SOURCE 200809L
#include "dbr_common.h"
#include <time.h>

static volatile int heard;

static void on_error(int frame, int code, void *user) {
  (void)frame;
  (void)user;
  heard = code;
}

int main(int argc, char **argv) {
  DM_DLSConnectionParameters parameters;
  FrameDecodingParameters frames;
  TextResultArray *results = NULL;
  char code[] = "DEMO-4-SEATS", url[] = "http://127.0.0.1:1", message[512];
  unsigned char gray[64] = {0}, *file;
  void *reader;
  const struct timespec pause = {0, 10000000};
  int size, waited_ms;
  CHECK(argc == 2);
  CHECK_INT(DBR_OK, DBR_InitDLSConnectionParameters(&parameters));
  parameters.mainServerURL = url;
  parameters.handshakeCode = code;
  CHECK_INT(DMERR_FAILED_TO_REACH_DLS, DBR_InitLicenseFromDLS(&parameters, message, sizeof message));
  CHECK_CONTAINS(message, "http://127.0.0.1:1/v1/authorizations (connect)");
  CHECK_INT(-1, DBR_GetIdleInstancesCount());
  reader = DBR_CreateInstance();
  CHECK(reader != NULL);
  CHECK_INT(0, DBR_IsInstanceValid(reader));
  file = dbr_file(argv[1], "one_qr.png", &size);
  CHECK_INT(DMERR_FAILED_TO_REACH_DLS, DBR_DecodeFileInMemory(reader, file, size, ""));
  /* The texts are masked, because what was not counted is not given away. */
  CHECK_INT(DBR_OK, DBR_GetAllTextResults(reader, &results));
  CHECK_INT(1, results->resultsCount);
  CHECK_INT('*', results->results[0]->barcodeText[0]);
  DBR_FreeTextResults(&results);
  snprintf(message, sizeof message, "%s/one_qr.png", argv[1]);
  CHECK_INT(DMERR_FAILED_TO_REACH_DLS, DBR_DecodeFile(reader, message, ""));
  CHECK_INT(DMERR_FAILED_TO_REACH_DLS, DBR_DecodeBuffer(reader, gray, 8, 8, 8, IPF_GRAYSCALED, ""));
  /* What the caller did wrong has its own code, also without a license. */
  CHECK_INT(DBRERR_NULL_POINTER, DBR_DecodeFile(reader, NULL, ""));
  CHECK_INT(DBR_OK, DBR_InitFrameDecodingParameters(reader, &frames));
  frames.width = frames.height = frames.stride = 8;
  frames.imagePixelFormat = IPF_GRAYSCALED;
  /* Frames are decoded on a thread, which tells each error to the callback. */
  CHECK_INT(DBR_OK, DBR_SetErrorCallback(reader, on_error, NULL));
  CHECK_INT(DBR_OK, DBR_StartFrameDecodingEx(reader, frames, ""));
  CHECK(DBR_AppendFrame(reader, gray) >= 0);
  for (waited_ms = 0; heard == 0 && waited_ms < 20000; waited_ms += 10) nanosleep(&pause, NULL);
  CHECK_INT(DMERR_FAILED_TO_REACH_DLS, heard);
  CHECK_INT(DBR_OK, DBR_StopFrameDecoding(reader));
  CHECK_CONTAINS(DBR_GetErrorString(DMERR_FAILED_TO_REACH_DLS), "license server");
  DBR_DestroyInstance(reader);
  free(file);
  return 0;
}
