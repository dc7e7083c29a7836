/* A program for DBR 9.6 that knows how its camera was held. It gives the picture's orientation, and transforms the
 * corners of each result to the upright picture by the matrix of the result. */
#include <stddef.h>

#include "dbr_common.h"

static void layouts(void) {
  CHECK_INT(32, sizeof(ImageData));
  CHECK_INT(28, offsetof(ImageData, orientation));
  CHECK_INT(232, sizeof(LocalizationResult));
  CHECK_INT(108, offsetof(LocalizationResult, transformationMatrix));
  CHECK_INT(180, offsetof(LocalizationResult, reserved));
  CHECK_INT(8, sizeof(DM_Point));
}

static void corners(const LocalizationResult *place, DM_Point points[4]) {
  int xs[4], ys[4], i;
  xs[0] = place->x1, xs[1] = place->x2, xs[2] = place->x3, xs[3] = place->x4;
  ys[0] = place->y1, ys[1] = place->y2, ys[2] = place->y3, ys[3] = place->y4;
  for (i = 0; i < 4; i++) {
    DBRPoint stored, upright;
    double matrix[9];
    memcpy(matrix, place->transformationMatrix, sizeof matrix);
    stored.x = xs[i];
    stored.y = ys[i];
    upright = DBR_TransformCoordinates(stored, matrix);
    points[i].coordinate[0] = upright.x;
    points[i].coordinate[1] = upright.y;
  }
}

/* Turns the picture counterclockwise by so many quarters, as a camera sees it that was turned clockwise. */
static unsigned char *turned(const unsigned char *gray, int *width, int *height, int quarters) {
  unsigned char *pixels = (unsigned char *)malloc((size_t)(*width * *height)), *next;
  int x, y, side;
  CHECK(pixels != NULL);
  memcpy(pixels, gray, (size_t)(*width * *height));
  for (; quarters > 0; quarters--) {
    next = (unsigned char *)malloc((size_t)(*width * *height));
    CHECK(next != NULL);
    for (y = 0; y < *height; y++)
      for (x = 0; x < *width; x++) next[(*width - 1 - x) * *height + y] = pixels[y * *width + x];
    side = *width, *width = *height, *height = side;
    free(pixels);
    pixels = next;
  }
  return pixels;
}

static void read_turned(void *reader, const unsigned char *gray, int width, int height, int quarters, DM_Point found[4]) {
  unsigned char *pixels = turned(gray, &width, &height, quarters);
  TextResultArray *results = NULL;
  ImageData data;
  data.bytes = pixels;
  data.bytesLength = width * height;
  data.width = width;
  data.height = height;
  data.stride = width;
  data.format = IPF_GRAYSCALED;
  data.orientation = 90 * quarters;
  CHECK_INT(DBR_OK, DBR_DecodeImageData(reader, &data, ""));
  CHECK_INT(DBR_OK, DBR_GetAllTextResults(reader, &results));
  CHECK_INT(1, results->resultsCount);
  corners(results->results[0]->localizationResult, found);
  DBR_FreeTextResults(&results);
  data.orientation = 90 * quarters + 1;
  CHECK_INT(DBRERR_IMAGE_ORIENTATION_INVALID, DBR_DecodeImageData(reader, &data, ""));
  free(pixels);
}

/* A buffer has no orientation, so places stay. */
static void buffer(void *reader, const unsigned char *gray, int width, int height, const DM_Point expected[4]) {
  TextResultArray *results = NULL;
  DM_Point found[4];
  CHECK_INT(DBR_OK, DBR_DecodeBuffer(reader, gray, width, height, width, IPF_GRAYSCALED, ""));
  CHECK_INT(DBR_OK, DBR_GetAllTextResults(reader, &results));
  corners(results->results[0]->localizationResult, found);
  CHECK_INT(0, memcmp(expected, found, sizeof found));
  CHECK_INT(found[0].coordinate[0], results->results[0]->localizationResult->x1);
  DBR_FreeTextResults(&results);
}

int main(int argc, char **argv) {
  int width, height, quarters, i;
  unsigned char *gray;
  void *reader;
  DM_Point first[4], again[4];
  CHECK_INT(2, argc);
  layouts();
  dbr_license();
  reader = DBR_CreateInstance();
  gray = dbr_gray(argv[1], "one.pgm", &width, &height);
  read_turned(reader, gray, width, height, 0, first);
  for (quarters = 1; quarters < 4; quarters++) {
    read_turned(reader, gray, width, height, quarters, again);
    for (i = 0; i < 4; i++) {
      CHECK(abs(first[i].coordinate[0] - again[i].coordinate[0]) <= 3);
      CHECK(abs(first[i].coordinate[1] - again[i].coordinate[1]) <= 3);
    }
  }
  buffer(reader, gray, width, height, first);
  free(gray);
  DBR_DestroyInstance(reader);
  return 0;
}
