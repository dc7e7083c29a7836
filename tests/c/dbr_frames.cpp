// A video program: it appends frames, and gets results in callbacks, which free them. argv[1]: the folder of generated
// pictures.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "dbr_common.h"

using namespace dynamsoft::dbr;

namespace {

std::atomic<int> frames_done(0), codes_seen(0), unique_seen(0), errors_seen(0), last_error(0), masked(0);
std::atomic<bool> hold(false);
int user_data;

void on_results(int frameId, TextResultArray *pResults, void *pUser) {
  while (hold) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(pUser == &user_data && frameId >= 0 && pResults != NULL);
  for (int i = 0; i < pResults->resultsCount; i++) {
    const TextResult *one = pResults->results[i];
    CHECK(one->barcodeText != NULL && one->localizationResult != NULL && one->barcodeFormatString != NULL);
    if (one->exception != NULL) masked++;
  }
  codes_seen += pResults->resultsCount;
  CBarcodeReader::FreeTextResults(&pResults);
  frames_done++;
}

void on_unique(int, TextResultArray *pResults, void *) {
  unique_seen += pResults->resultsCount;
  DBR_FreeTextResults(&pResults);
}

void on_error(int, int errorCode, void *pUser) {
  CHECK(pUser == &user_data);
  last_error = errorCode;
  errors_seen++;
}

void wait_for(const std::atomic<int> &count, int value) {
  for (int i = 0; i < 60000 && count < value; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK_INT(value, count);
}

struct Video {
  std::vector<unsigned char> one, blank;
  int width, height;
};

FrameDecodingParameters parameters_for(CBarcodeReader &reader, const Video &video) {
  FrameDecodingParameters parameters;
  CHECK_INT(DBR_OK, reader.InitFrameDecodingParameters(&parameters));
  CHECK_INT(3, parameters.maxQueueLength);
  CHECK_INT(10, parameters.maxResultQueueLength);
  CHECK_INT(IPF_GRAYSCALED, parameters.imagePixelFormat);
  CHECK_INT(100, parameters.region.regionRight);
  CHECK_INT(1, parameters.autoFilter);
  int forget_ms;
  memcpy(&forget_ms, parameters.reserved, sizeof forget_ms);
  CHECK_INT(3000, forget_ms);
  parameters.maxQueueLength = 100;
  parameters.width = video.width;
  parameters.height = video.height;
  parameters.stride = video.width;
  return parameters;
}

void listen(CBarcodeReader &reader) {
  CHECK_INT(DBR_OK, reader.SetTextResultCallback(on_results, &user_data));
  CHECK_INT(DBR_OK, reader.SetErrorCallback(on_error, &user_data));
  CHECK_INT(DBR_OK, reader.SetUniqueBarcodeCallback(on_unique, NULL));
  CHECK_INT(DBRERR_IRT_LICENSE_INVALID, reader.SetIntermediateResultCallback(NULL, NULL));
}

// The same code in ten frames: ten results, one scan.
void a_sequence(Video &video) {
  CBarcodeReader reader;
  listen(reader);
  CHECK_INT(DBRERR_STOP_DECODING_THREAD_FAILED, reader.StopFrameDecoding());
  CHECK_INT(DBRERR_NULL_POINTER, reader.AppendFrame(video.one.data()));
  CHECK_INT(0, reader.GetLengthOfFrameQueue());
  // Ten frames may take longer than the default, on a busy machine.
  FrameDecodingParameters parameters = parameters_for(reader, video);
  const int ten_minutes = 600000;
  memcpy(parameters.reserved, &ten_minutes, sizeof ten_minutes);
  CHECK_INT(DBR_OK, reader.StartFrameDecodingEx(parameters));
  CHECK_INT(DBRERR_FRAME_DECODING_THREAD_EXISTS, reader.StartFrameDecodingEx(parameters));
  CHECK_INT(DBRERR_FRAME_DECODING_THREAD_EXISTS, reader.SetTextResultCallback(on_results, NULL));
  for (int i = 0; i < 10; i++) CHECK_INT(i, reader.AppendFrame(video.one.data()));
  CHECK_INT(DBRERR_NULL_POINTER, reader.AppendFrame(NULL));
  wait_for(frames_done, 10);
  CHECK_INT(10, codes_seen);
  CHECK_INT(1, unique_seen);
  CHECK_INT(10, reader.AppendFrame(video.blank.data()));
  wait_for(frames_done, 11);
  CHECK_INT(DBR_OK, reader.StopFrameDecoding());
  CHECK_INT(10, codes_seen);
  CHECK_INT(0, errors_seen);
}

// Without a forget time each frame counts. A running sequence ends with its reader.
void without_a_forget_time(Video &video) {
  CBarcodeReader *reader = new CBarcodeReader();
  listen(*reader);
  FrameDecodingParameters parameters = parameters_for(*reader, video);
  const int never = 0;
  memcpy(parameters.reserved, &never, sizeof never);
  frames_done = 0;
  CHECK_INT(DBR_OK, reader->StartFrameDecodingEx(parameters, ""));
  for (int i = 0; i < 3; i++) reader->AppendFrame(video.one.data());
  wait_for(frames_done, 3);
  delete reader;
}

// A full queue drops the oldest frame, and the caller never waits.
void a_full_queue(Video &video) {
  CBarcodeReader reader;
  listen(reader);
  frames_done = 0;
  hold = true;
  CHECK_INT(DBR_OK, reader.StartFrameDecoding(2, 10, video.width, video.height, video.width, IPF_GRAYSCALED));
  for (int i = 0; i < 50; i++) CHECK_INT(i, reader.AppendFrame(video.blank.data()));
  CHECK(reader.GetLengthOfFrameQueue() <= 2);
  hold = false;
  CHECK_INT(DBR_OK, reader.StopFrameDecoding());
  CHECK(frames_done <= 50);
}

void values_that_cannot_be(Video &video) {
  CBarcodeReader reader;
  CHECK_INT(DBRERR_PARAMETER_VALUE_INVALID, reader.StartFrameDecoding(2, 10, 0, 1, 1, IPF_GRAYSCALED, ""));
  CHECK_INT(DBRERR_PARAMETER_VALUE_INVALID, reader.StartFrameDecoding(-1, 10, 1, 1, 1, IPF_GRAYSCALED, ""));
  CHECK_INT(DBRERR_TEMPLATE_NAME_INVALID, reader.StartFrameDecoding(2, 10, 1, 1, 1, IPF_GRAYSCALED, "none"));
  FrameDecodingParameters parameters = parameters_for(reader, video);
  const int too_long = 600001;
  memcpy(parameters.reserved, &too_long, sizeof too_long);
  CHECK_INT(DBRERR_PARAMETER_VALUE_INVALID, reader.StartFrameDecodingEx(parameters, ""));
}

CBarcodeReader *stopped_by_itself;
std::atomic<int> stops(0);

void on_results_that_stop(int, TextResultArray *pResults, void *) {
  DBR_FreeTextResults(&pResults);
  CHECK_INT(DBR_OK, stopped_by_itself->StopFrameDecoding());
  stops++;
}

// A callback may stop the sequence that it is called from.
void stopped_from_a_callback(Video &video) {
  CBarcodeReader reader;
  stopped_by_itself = &reader;
  CHECK_INT(DBR_OK, reader.SetTextResultCallback(on_results_that_stop, NULL));
  CHECK_INT(DBR_OK, reader.StartFrameDecodingEx(parameters_for(reader, video), ""));
  reader.AppendFrame(video.blank.data());
  wait_for(stops, 1);
  CHECK_INT(DBRERR_STOP_DECODING_THREAD_FAILED, reader.StopFrameDecoding());
}

// Without a license texts are masked, the error is returned, and nothing is counted.
void without_a_license(Video &video) {
  CBarcodeReader reader;
  listen(reader);
  CHECK_INT(DBR_OK, reader.StartFrameDecodingEx(parameters_for(reader, video), ""));
  reader.AppendFrame(video.one.data());
  wait_for(frames_done, 1);
  CHECK_INT(DBR_OK, reader.StopFrameDecoding());
  CHECK_INT(1, masked);
  CHECK_INT(DMERR_NO_LICENSE, last_error);
  frames_done = codes_seen = unique_seen = errors_seen = 0;
}

}  // namespace

int main(int argc, char **argv) {
  CHECK_INT(2, argc);
  Video video;
  unsigned char *gray = dbr_gray(argv[1], "one.pgm", &video.width, &video.height);
  video.one.assign(gray, gray + video.width * video.height);
  video.blank.assign(video.one.size(), 255);
  free(gray);
  without_a_license(video);
  dbr_license();
  a_sequence(video);
  without_a_forget_time(video);
  a_full_queue(video);
  values_that_cannot_be(video);
  stopped_from_a_callback(video);
  return 0;
}
