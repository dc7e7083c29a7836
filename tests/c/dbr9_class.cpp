// A program for DBR 9.x with the documented steps of its class: license, a file by an instance of the pool, frames with
// callbacks, settings by number and by template.
#include <atomic>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>

#include "DynamsoftBarcodeReader.h"
#include "DynamsoftCommon.h"
#include "check.h"

using namespace std;
using namespace dynamsoft::dbr;

static void print(const TextResultArray *results) {
  for (int i = 0; i < results->resultsCount; i++) {
    const TextResult *result = results->results[i];
    cout << result->barcodeFormatString << ": " << result->barcodeText << endl;
  }
}

static atomic<int> frames(0);

static void on_frame(int, TextResultArray *results, void *) {
  frames++;
  CBarcodeReader::FreeTextResults(&results);
}

static void on_unique(int, TextResultArray *results, void *user) {
  *static_cast<string *>(user) = results->results[0]->barcodeFormatString;
  CBarcodeReader::FreeTextResults(&results);
}

static void on_error(int frameId, int errorCode, void *) {
  cerr << "frame " << frameId << ": " << DBR_GetErrorString(errorCode) << endl;
}

// Gray pixels of a PGM file.
static string pixels(const string &path, int *width, int *height) {
  FILE *file = fopen(path.c_str(), "rb");
  CHECK(file != NULL);
  CHECK_INT(2, fscanf(file, "P5 %d %d 255", width, height));
  CHECK_INT('\n', fgetc(file));
  string all(static_cast<size_t>(*width * *height), '\0');
  CHECK_INT(all.size(), fread(&all[0], 1, all.size(), file));
  fclose(file);
  return all;
}

static void read_file(const string &picture) {
  CBarcodeReader *reader = CBarcodeReader::GetInstance();
  CHECK(reader != NULL && reader->IsInstanceValid());
  PublicRuntimeSettings settings;
  CHECK_INT(DBR_OK, reader->GetRuntimeSettings(&settings));
  settings.barcodeFormatIds = BF_ONED | BF_QR_CODE;
  settings.barcodeFormatIds_2 = BF2_ALL;
  settings.furtherModes.deformationResistingModes[0] = DRM_BROAD_WARP;
  char message[512];
  CHECK_INT(DBR_OK, reader->UpdateRuntimeSettings(&settings, message, 512));
  CHECK_INT(DBR_OK, reader->DecodeFile(picture.c_str(), ""));
  TextResultArray *results = NULL;
  CHECK_INT(DBR_OK, reader->GetAllTextResults(&results));
  CHECK_INT(3, results->resultsCount);
  print(results);
  CBarcodeReader::FreeTextResults(&results);
  reader->Recycle();
}

static void by_template(const string &picture) {
  CBarcodeReader reader;
  char message[512];
  const char *text =
      "{\"Version\":\"3.0\",\"ImageParameter\":{\"Name\":\"Linear\",\"BarcodeFormatIds\":null,\"DeblurModes\":null,"
      "\"RegionDefinitionNameArray\":null,\"FormatSpecificationNameArray\":[\"Code 128\"]},"
      "\"FormatSpecification\":{\"Name\":\"Code 128\",\"BarcodeFormatIds\":[\"BF_CODE_128\"],\"MinResultConfidence\":20,"
      "\"BarcodeAngleRangeArray\":null}}";
  CHECK_INT(DBR_OK, reader.InitRuntimeSettingsWithString(text, CM_OVERWRITE, message, 512));
  CHECK_INT(DBR_OK, reader.DecodeFile(picture.c_str(), ""));
  TextResultArray *results = NULL;
  CHECK_INT(DBR_OK, reader.GetAllTextResults(&results));
  CHECK_INT(1, results->resultsCount);
  CHECK_INT(BF_CODE_128, results->results[0]->barcodeFormat);
  CBarcodeReader::FreeTextResults(&results);
}

static void read_frames(const string &picture) {
  CBarcodeReader reader;
  int width, height;
  string frame = pixels(picture, &width, &height), unique;
  FrameDecodingParameters parameters;
  CHECK_INT(DBR_OK, reader.InitFrameDecodingParameters(&parameters));
  parameters.width = width;
  parameters.height = height;
  parameters.stride = width;
  parameters.imagePixelFormat = IPF_GRAYSCALED;
  CHECK_INT(3000, parameters.duplicateForgetTime);
  parameters.duplicateForgetTime = 1000;
  parameters.region.regionMeasuredByPercentage = 1;
  CHECK_INT(DBR_OK, reader.SetErrorCallback(on_error, NULL));
  CHECK_INT(DBR_OK, reader.SetTextResultCallback(on_frame, NULL));
  CHECK_INT(DBR_OK, reader.SetUniqueBarcodeCallback(on_unique, &unique));
  CHECK_INT(DBR_OK, reader.StartFrameDecodingEx(parameters, ""));
  CHECK(reader.AppendFrame(reinterpret_cast<unsigned char *>(&frame[0])) >= 0);
  while (frames == 0) this_thread::sleep_for(chrono::milliseconds(1));
  CHECK_INT(DBR_OK, reader.StopFrameDecoding());
  cout << "unique: " << unique << endl;
}

int main(int argc, char **argv) {
  CHECK_INT(2, argc);
  const string folder = argv[1];
  char errorBuf[512];
  const int errorCode = CBarcodeReader::InitLicense("DEMO-4-SEATS", errorBuf, 512);
  if (errorCode != DBR_OK) cerr << errorBuf << endl;
  CHECK_INT(DBR_OK, errorCode);
  read_file(folder + "/four.png");
  by_template(folder + "/four.png");
  read_frames(folder + "/one.pgm");
  return 0;
}
