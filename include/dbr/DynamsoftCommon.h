/*
 * Types that programs written for the DBR 8.x API share with the other parts of that family.
 *
 * Names, values and layouts are those that such programs expect; everything is implemented by libseatmeter.
 */
#ifndef SEATMETER_DYNAMSOFT_COMMON_H
#define SEATMETER_DYNAMSOFT_COMMON_H

#include <stddef.h>

/** Says that a symbol is the library's; on the systems of this library there is nothing to say. */
#ifndef DBR_API
#define DBR_API
#endif

/** A truth value of one byte, and a handle of the system: types that such programs use without including more. */
typedef signed char BOOL;
typedef void *HANDLE;

/* Other headers of the family declare these two parts too, each behind its guard. */
#ifndef _COMMON_PART1_
#define _COMMON_PART1_

/* License errors, -20000 and below. DBR_GetErrorString says what each means and what to do. */
#define DMERR_NO_LICENSE -20000
#define DMERR_HANDSHAKE_CODE_INVALID -20001
#define DMERR_LICENSE_BUFFER_FAILED -20002
#define DMERR_LICENSE_SYNC_FAILED -20003
#define DMERR_DEVICE_NOT_MATCH -20004
#define DMERR_BIND_DEVICE_FAILED -20005
#define DMERR_LICENSE_INTERFACE_CONFLICT -20006
#define DMERR_LICENSE_CLIENT_DLL_MISSING -20007
#define DMERR_INSTANCE_COUNT_OVER_LIMIT -20008
#define DMERR_LICENSE_INIT_SEQUENCE_FAILED -20009
#define DMERR_TRIAL_LICENSE -20010
/* _DBR 9.6_ */
#define DMERR_LICENSE_CACHE_USED -20012
/* The older name of the next. */
#define DMERR_FAILED_TO_REACH_LTS -20200
#define DMERR_FAILED_TO_REACH_DLS -20200

/** Where the software runs. */
typedef enum DM_DeploymentType {
  DM_DT_SERVER = 1,
  DM_DT_DESKTOP = 2,
  DM_DT_EMBEDDED_DEVICE = 6,
  DM_DT_OEM = 7,
  DM_DT_MOBILE = 9
} DM_DeploymentType;

/** By what a license is charged. */
typedef enum DM_ChargeWay {
  DM_CW_AUTO = 0,
  DM_CW_DEVICE_COUNT = 1,
  DM_CW_SCAN_COUNT = 2,
  DM_CW_CONCURRENT_DEVICE_COUNT = 3,
  DM_CW_APP_DOMIAN_COUNT = 6,
  DM_CW_ACTIVE_DEVICE_COUNT = 8,
  DM_CW_INSTANCE_COUNT = 9,
  DM_CW_CONCURRENT_INSTANCE_COUNT = 10
} DM_ChargeWay;

/** How a device that is new gets its UUID. */
typedef enum DM_UUIDGenerationMethod {
  DM_UUIDGM_RANDOM = 1,
  DM_UUIDGM_HARDWARE = 2
} DM_UUIDGenerationMethod;

/** Modules that a license can cover. */
typedef enum DM_LicenseModule {
  DM_LM_ONED = 1,
  DM_LM_QR_CODE = 2,
  DM_LM_PDF417 = 3,
  DM_LM_DATAMATRIX = 4,
  DM_LM_AZTEC = 5,
  DM_LM_MAXICODE = 6,
  DM_LM_PATCHCODE = 7,
  DM_LM_GS1_DATABAR = 8,
  DM_LM_GS1_COMPOSITE = 9,
  DM_LM_POSTALCODE = 10,
  DM_LM_DOTCODE = 11,
  DM_LM_INTERMEDIATE_RESULT = 12,
  DM_LM_DPM = 13,
  DM_LM_NONSTANDARD_BARCODE = 16
} DM_LicenseModule;

/** Products, to be combined as bits. */
typedef enum Product {
  PROD_DBR = 0x01,
  PROD_DLR = 0x02,
  PROD_DWT = 0x04,
  PROD_DCE = 0x08,
  PROD_DPS = 0x10,
  PROD_ALL = 0xffff
} Product;

#if !defined(DM_DLS_PARAMETERS_DECLARED) && !defined(SEATMETER_H)
/* seatmeter.h has the same structure, with the meaning of each field. */
#define DM_DLS_PARAMETERS_DECLARED
#pragma pack(push, 1)
/** How to reach the license server, and what to ask it for. Set the defaults first. */
typedef struct tagDM_DLSConnectionParameters {
  char *mainServerURL;
  char *standbyServerURL;
  char *handshakeCode;
  char *sessionPassword;
  DM_DeploymentType deploymentType;
  DM_ChargeWay chargeWay;
  DM_UUIDGenerationMethod UUIDGenerationMethod;
  int maxBufferDays;
  int limitedLicenseModulesCount;
  DM_LicenseModule *limitedLicenseModules;
  int maxConcurrentInstanceCount;
  char *organizationID;
  int products;
  char reserved[52];
} DM_DLSConnectionParameters;
#pragma pack(pop)
#endif

/** The older name of the same. */
typedef struct tagDM_DLSConnectionParameters DM_LTSConnectionParameters;

#endif /* _COMMON_PART1_ */

#ifndef _COMMON_PART2_
#define _COMMON_PART2_

/** How pixels lie in memory; the low byte of a pixel comes first. */
typedef enum ImagePixelFormat {
  /** One bit a pixel, the highest first; 0 is black. */
  IPF_BINARY = 0,
  /** The same, 0 is white. */
  IPF_BINARYINVERTED = 1,
  IPF_GRAYSCALED = 2,
  /** A plane of luminance, then one of interleaved color at half the size, which is not read. */
  IPF_NV21 = 3,
  IPF_RGB_565 = 4,
  IPF_RGB_555 = 5,
  /** Names say the channels from the high byte to the low one: here blue is first in memory. */
  IPF_RGB_888 = 6,
  IPF_ARGB_8888 = 7,
  IPF_RGB_161616 = 8,
  IPF_ARGB_16161616 = 9,
  IPF_ABGR_8888 = 10,
  IPF_ABGR_16161616 = 11,
  IPF_BGR_888 = 12
} ImagePixelFormat;

/** How a picture is made black and white. */
typedef enum BinarizationMode {
  BM_AUTO = 0x01,
  BM_LOCAL_BLOCK = 0x02,
  BM_THRESHOLD = 0x04,
  BM_REV = -2147483647 - 1,
  BM_SKIP = 0x00
} BinarizationMode;

/** How a small symbol is made larger. */
typedef enum ScaleUpMode {
  SUM_AUTO = 0x01,
  SUM_LINEAR_INTERPOLATION = 0x02,
  SUM_NEAREST_NEIGHBOUR_INTERPOLATION = 0x04,
  SUM_REV = -2147483647 - 1,
  SUM_SKIP = 0x00
} ScaleUpMode;

/** How regions that may hold barcodes are looked for. */
typedef enum RegionPredetectionMode {
  RPM_AUTO = 0x01,
  RPM_GENERAL = 0x02,
  RPM_GENERAL_RGB_CONTRAST = 0x04,
  RPM_GENERAL_GRAY_CONTRAST = 0x08,
  RPM_GENERAL_HSV_CONTRAST = 0x10,
  RPM_REV = -2147483647 - 1,
  RPM_SKIP = 0x00
} RegionPredetectionMode;

/** How colors become shades of gray. */
typedef enum ColorConversionMode {
  CICM_GENERAL = 0x01,
  CICM_REV = -2147483647 - 1,
  CICM_SKIP = 0x00
} ColorConversionMode;

/** How textures are told from symbols. */
typedef enum TextureDetectionMode {
  TDM_AUTO = 0x01,
  TDM_GENERAL_WIDTH_CONCENTRATION = 0x02,
  TDM_REV = -2147483647 - 1,
  TDM_SKIP = 0x00
} TextureDetectionMode;

/** Whether a picture is read as it is or inverted. */
typedef enum GrayscaleTransformationMode {
  GTM_INVERTED = 0x01,
  GTM_ORIGINAL = 0x02,
  GTM_REV = -2147483647 - 1,
  GTM_SKIP = 0x00
} GrayscaleTransformationMode;

/** How PDF files are read. */
typedef enum PDFReadingMode {
  PDFRM_AUTO = 0x01,
  PDFRM_VECTOR = 0x02,
  PDFRM_RASTER = 0x04,
  PDFRM_REV = -2147483647 - 1
} PDFReadingMode;

#pragma pack(push, 1)

/** A point in pixels. */
typedef struct tagDBRPoint {
  int x;
  int y;
} DBRPoint, *PDBRPoint;

#ifdef SEATMETER_DBR_9
/** A point as the other parts of the family have it: x, then y. */
typedef struct tagDMPoint {
  int coordinate[2];
} DM_Point;
#else
/** Its name in other parts of the family. */
typedef DBRPoint DM_Point;
#endif

/** Four corners. */
typedef struct tagQuadrilateral {
  DBRPoint points[4];
} Quadrilateral;

/** A picture in memory. */
typedef struct tagImageData {
  int bytesLength;
  unsigned char *bytes;
  int width;
  int height;
  int stride;
  ImagePixelFormat format;
#ifdef SEATMETER_DBR_9
  /** Degrees by which the picture must be turned clockwise to stand upright: 0, 90, 180 or 270. Set it always. */
  int orientation;
#endif
} ImageData;

#pragma pack(pop)

#endif /* _COMMON_PART2_ */

#endif
