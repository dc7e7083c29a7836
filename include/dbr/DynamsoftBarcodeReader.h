/*
 * Barcode reading for programs written for the DBR 8.x C and C++ API, implemented by libseatmeter.
 *
 * Such programs compile, link (-lDynamsoftBarcodeReader) and run unmodified. What works as there, what works in
 * part and what answers with an error is told, function by function, in docs/dbr-compat.md. Structures are packed,
 * for programs expect that; names with _DBR 9.6_ in their comment are later additions to that API.
 *
 * Unless a function says otherwise: a function that returns int returns 0 for success and a negative number
 * otherwise, of which DBR_GetErrorString tells what to do; -10002 is the answer to a NULL that it cannot do without.
 * Strings and buffers of the caller are copied before a call returns. Threads: any; calls for one reader wait for
 * one another, so one reader a thread is fastest. Messages go into the caller's buffer, always NUL-terminated, also
 * on success; NULL and 0 mean that none is wanted.
 *
 * On an error nothing is given: a pointer that a function sets is NULL, a text that it writes is "", and a structure
 * is as it was.
 */
#ifndef SEATMETER_DYNAMSOFT_BARCODE_READER_H
#define SEATMETER_DYNAMSOFT_BARCODE_READER_H

#include "DynamsoftCommon.h"

/** Success. */
#define DBR_OK 0

/* Errors of reading. DBR_GetErrorString says what each means and what to do. */
#define DBRERR_FILE_NOT_FOUND -10005
#define DBRERR_FILETYPE_NOT_SUPPORTED -10006
#define DBRERR_DIB_BUFFER_INVALID -10018
#define DBRERR_RECOGNITION_TIMEOUT -10026
#define DBRERR_UNKNOWN -10000
#define DBRERR_NO_MEMORY -10001
#define DBRERR_NULL_POINTER -10002
#define DBRERR_LICENSE_INVALID -10003
#define DBRERR_LICENSE_EXPIRED -10004
#define DBRERR_BPP_NOT_SUPPORTED -10007
#define DBRERR_INDEX_INVALID -10008
#define DBRERR_BARCODE_FORMAT_INVALID -10009
#define DBRERR_CUSTOM_REGION_INVALID -10010
#define DBRERR_MAX_BARCODE_NUMBER_INVALID -10011
#define DBRERR_IMAGE_READ_FAILED -10012
#define DBRERR_TIFF_READ_FAILED -10013
#define DBRERR_QR_LICENSE_INVALID -10016
#define DBRERR_1D_LICENSE_INVALID -10017
#define DBRERR_PDF417_LICENSE_INVALID -10019
#define DBRERR_DATAMATRIX_LICENSE_INVALID -10020
#define DBRERR_PDF_READ_FAILED -10021
#define DBRERR_PDF_DLL_MISSING -10022
#define DBRERR_PAGE_NUMBER_INVALID -10023
#define DBRERR_CUSTOM_SIZE_INVALID -10024
#define DBRERR_CUSTOM_MODULESIZE_INVALID -10025
#define DBRERR_JSON_PARSE_FAILED -10030
#define DBRERR_JSON_TYPE_INVALID -10031
#define DBRERR_JSON_KEY_INVALID -10032
#define DBRERR_JSON_VALUE_INVALID -10033
#define DBRERR_JSON_NAME_KEY_MISSING -10034
#define DBRERR_JSON_NAME_VALUE_DUPLICATED -10035
#define DBRERR_TEMPLATE_NAME_INVALID -10036
#define DBRERR_JSON_NAME_REFERENCE_INVALID -10037
#define DBRERR_PARAMETER_VALUE_INVALID -10038
#define DBRERR_DOMAIN_NOT_MATCHED -10039
#define DBRERR_RESERVEDINFO_NOT_MATCHED -10040
#define DBRERR_AZTEC_LICENSE_INVALID -10041
#define DBRERR_LICENSE_DLL_MISSING -10042
#define DBRERR_LICENSEKEY_NOT_MATCHED -10043
#define DBRERR_REQUESTED_FAILED -10044
#define DBRERR_LICENSE_INIT_FAILED -10045
#define DBRERR_PATCHCODE_LICENSE_INVALID -10046
#define DBRERR_POSTALCODE_LICENSE_INVALID -10047
#define DBRERR_DPM_LICENSE_INVALID -10048
#define DBRERR_FRAME_DECODING_THREAD_EXISTS -10049
#define DBRERR_STOP_DECODING_THREAD_FAILED -10050
#define DBRERR_SET_MODE_ARGUMENT_ERROR -10051
#define DBRERR_LICENSE_CONTENT_INVALID -10052
#define DBRERR_LICENSE_KEY_INVALID -10053
#define DBRERR_LICENSE_DEVICE_RUNS_OUT -10054
#define DBRERR_GET_MODE_ARGUMENT_ERROR -10055
#define DBRERR_IRT_LICENSE_INVALID -10056
#define DBRERR_MAXICODE_LICENSE_INVALID -10057
#define DBRERR_GS1_DATABAR_LICENSE_INVALID -10058
#define DBRERR_GS1_COMPOSITE_LICENSE_INVALID -10059
#define DBRERR_PANORAMA_LICENSE_INVALID -10060
#define DBRERR_DOTCODE_LICENSE_INVALID -10061
#define DBRERR_PHARMACODE_LICENSE_INVALID -10062
#define DBRERR_IMAGE_ORIENTATION_INVALID -10063

/** Symbologies of the first format word, to be combined as bits. */
typedef enum BarcodeFormat {
#ifdef SEATMETER_DBR_9
  /* With BF_CODE_11, as 9.x has them. */
  BF_ALL = -29360129,
  BF_ONED = 0x003007FF,
#else
  BF_ALL = -31457281,
  BF_ONED = 0x001007FF,
#endif
  BF_GS1_DATABAR = 0x0003F800,
  BF_CODE_39 = 0x1,
  BF_CODE_128 = 0x2,
  BF_CODE_93 = 0x4,
  BF_CODABAR = 0x8,
  BF_ITF = 0x10,
  BF_EAN_13 = 0x20,
  BF_EAN_8 = 0x40,
  BF_UPC_A = 0x80,
  BF_UPC_E = 0x100,
  BF_INDUSTRIAL_25 = 0x200,
  BF_CODE_39_EXTENDED = 0x400,
  BF_GS1_DATABAR_OMNIDIRECTIONAL = 0x800,
  BF_GS1_DATABAR_TRUNCATED = 0x1000,
  BF_GS1_DATABAR_STACKED = 0x2000,
  BF_GS1_DATABAR_STACKED_OMNIDIRECTIONAL = 0x4000,
  BF_GS1_DATABAR_EXPANDED = 0x8000,
  BF_GS1_DATABAR_EXPANDED_STACKED = 0x10000,
  BF_GS1_DATABAR_LIMITED = 0x20000,
  BF_PATCHCODE = 0x00040000,
  BF_PDF417 = 0x02000000,
  BF_QR_CODE = 0x04000000,
  BF_DATAMATRIX = 0x08000000,
  BF_AZTEC = 0x10000000,
  BF_MAXICODE = 0x20000000,
  BF_MICRO_QR = 0x40000000,
  BF_MICRO_PDF417 = 0x00080000,
  BF_GS1_COMPOSITE = -2147483647 - 1,
  BF_MSI_CODE = 0x100000,
  /** Part of BF_ALL in 9.x alone; no engine of this library reads it. */
  BF_CODE_11 = 0x200000,
  BF_NULL = 0x00
} BarcodeFormat;

/** Symbologies of the second format word, to be combined as bits. */
typedef enum BarcodeFormat_2 {
  BF2_NULL = 0x00,
  BF2_POSTALCODE = 0x01F00000,
  BF2_NONSTANDARD_BARCODE = 0x01,
  BF2_USPSINTELLIGENTMAIL = 0x00100000,
  BF2_POSTNET = 0x00200000,
  BF2_PLANET = 0x00400000,
  BF2_AUSTRALIANPOST = 0x00800000,
  BF2_RM4SCC = 0x01000000,
  BF2_DOTCODE = 0x02,
  BF2_PHARMACODE_ONE_TRACK = 0x04,
  BF2_PHARMACODE_TWO_TRACK = 0x08,
  BF2_PHARMACODE = 0x0C,
  /** Every one of these (_DBR 9.6_). */
  BF2_ALL = -1
} BarcodeFormat_2;

/** How a picture is prepared before it is made black and white. */
typedef enum ImagePreprocessingMode {
  IPM_AUTO = 0x01,
  IPM_GENERAL = 0x02,
  IPM_GRAY_EQUALIZE = 0x04,
  IPM_GRAY_SMOOTH = 0x08,
  IPM_SHARPEN_SMOOTH = 0x10,
  IPM_MORPHOLOGY = 0x20,
  IPM_REV = -2147483647 - 1,
  IPM_SKIP = 0x00
} ImagePreprocessingMode;

/** How missing parts of a symbol are completed. */
typedef enum BarcodeComplementMode {
  BCM_AUTO = 0x01,
  BCM_GENERAL = 0x02,
  BCM_REV = -2147483647 - 1,
  BCM_SKIP = 0x00
} BarcodeComplementMode;

/** Which colors a symbol has on which ground. */
typedef enum BarcodeColorMode {
  BICM_DARK_ON_LIGHT = 0x01,
  BICM_LIGHT_ON_DARK = 0x02,
  BICM_DARK_ON_DARK = 0x04,
  BICM_LIGHT_ON_LIGHT = 0x08,
  BICM_DARK_LIGHT_MIXED = 0x10,
  BICM_DARK_ON_LIGHT_DARK_SURROUNDING = 0x20,
  BICM_REV = -2147483647 - 1,
  BICM_SKIP = 0x00
} BarcodeColorMode;

/** How colors are sorted. */
typedef enum ColorClusteringMode {
  CCM_AUTO = 0x00000001,
  CCM_GENERAL_HSV = 0x00000002,
  CCM_REV = -2147483647 - 1,
  CCM_SKIP = 0x00
} ColorClusteringMode;

/** How symbols that are punched or etched into parts are read. */
typedef enum DPMCodeReadingMode {
  DPMCRM_AUTO = 0x01,
  DPMCRM_GENERAL = 0x02,
  DPMCRM_REV = -2147483647 - 1,
  DPMCRM_SKIP = 0x00
} DPMCodeReadingMode;

/** What happens to a setting that is there already when a template sets it again. */
typedef enum ConflictMode {
  /** The earlier value stays. */
  CM_IGNORE = 1,
  /** The later value counts. */
  CM_OVERWRITE = 2
} ConflictMode;

/** Kinds of intermediate results, to be combined as bits. This library has none to give. */
typedef enum IntermediateResultType {
  IRT_NO_RESULT = 0x00000000,
  IRT_ORIGINAL_IMAGE = 0x00000001,
  IRT_COLOUR_CLUSTERED_IMAGE = 0x00000002,
  IRT_COLOUR_CONVERTED_GRAYSCALE_IMAGE = 0x00000004,
  IRT_TRANSFORMED_GRAYSCALE_IMAGE = 0x00000008,
  IRT_PREDETECTED_REGION = 0x00000010,
  IRT_PREPROCESSED_IMAGE = 0x00000020,
  IRT_BINARIZED_IMAGE = 0x00000040,
  IRT_TEXT_ZONE = 0x00000080,
  IRT_CONTOUR = 0x00000100,
  IRT_LINE_SEGMENT = 0x00000200,
  IRT_FORM = 0x00000400,
  IRT_SEGMENTATION_BLOCK = 0x00000800,
  IRT_TYPED_BARCODE_ZONE = 0x00001000,
  IRT_PREDETECTED_QUADRILATERAL = 0x00002000
} IntermediateResultType;

/** How symbols are located. */
typedef enum LocalizationMode {
  LM_AUTO = 0x01,
  LM_CONNECTED_BLOCKS = 0x02,
  LM_STATISTICS = 0x04,
  LM_LINES = 0x08,
  LM_SCAN_DIRECTLY = 0x10,
  LM_STATISTICS_MARKS = 0x20,
  LM_STATISTICS_POSTAL_CODE = 0x40,
  LM_CENTRE = 0x80,
  LM_ONED_FAST_SCAN = 0x100,
  LM_REV = -2147483647 - 1,
  LM_SKIP = 0x00
} LocalizationMode;

/** Whether symbols are read as seen in a mirror. */
typedef enum MirrorMode {
  MM_NORMAL = 0x01,
  MM_MIRROR = 0x02,
  MM_BOTH = 0x04
} MirrorMode;

/** Levels of error correction of a QR code. */
typedef enum QRCodeErrorCorrectionLevel {
  QRECL_ERROR_CORRECTION_H = 0,
  QRECL_ERROR_CORRECTION_L = 1,
  QRECL_ERROR_CORRECTION_M = 2,
  QRECL_ERROR_CORRECTION_Q = 3
} QRCodeErrorCorrectionLevel;

/** How bent symbols are read. */
typedef enum DeformationResistingMode {
  DRM_AUTO = 0x01,
  DRM_GENERAL = 0x02,
  /* The next three are of _DBR 9.6_. */
  DRM_BROAD_WARP = 0x04,
  DRM_LOCAL_REFERENCE = 0x08,
  DRM_DEWRINKLE = 0x10,
  DRM_REV = -2147483647 - 1,
  DRM_SKIP = 0x00
} DeformationResistingMode;

/** What an extended result holds. */
typedef enum ResultType {
  RT_STANDARD_TEXT = 0,
  RT_RAW_TEXT = 1,
  RT_CANDIDATE_TEXT = 2,
  RT_PARTIAL_TEXT = 3
} ResultType;

/** How far reading goes, or came. */
typedef enum TerminatePhase {
  TP_REGION_PREDETECTED = 0x00000001,
  TP_IMAGE_PREPROCESSED = 0x00000002,
  TP_IMAGE_BINARIZED = 0x00000004,
  TP_BARCODE_LOCALIZED = 0x00000008,
  TP_BARCODE_TYPE_DETERMINED = 0x00000010,
  TP_BARCODE_RECOGNIZED = 0x00000020
} TerminatePhase;

/** How printed text beside a symbol helps to read it. */
typedef enum TextAssistedCorrectionMode {
  TACM_AUTO = 0x01,
  TACM_VERIFYING = 0x02,
  TACM_VERIFYING_PATCHING = 0x04,
  TACM_REV = -2147483647 - 1,
  TACM_SKIP = 0x00
} TextAssistedCorrectionMode;

/** How text is told from symbols. */
typedef enum TextFilterMode {
  TFM_AUTO = 0x01,
  TFM_GENERAL_CONTOUR = 0x02,
  TFM_REV = -2147483647 - 1,
  TFM_SKIP = 0x00
} TextFilterMode;

/** Where intermediate results are put. */
typedef enum IntermediateResultSavingMode {
  IRSM_MEMORY = 0x01,
  IRSM_FILESYSTEM = 0x02,
  IRSM_BOTH = 0x04,
  IRSM_REFERENCE_MEMORY = 0x08
} IntermediateResultSavingMode;

/** By what results are sorted. */
typedef enum TextResultOrderMode {
  /** The most certain first. */
  TROM_CONFIDENCE = 0x01,
  /** From top to bottom, then from left to right. */
  TROM_POSITION = 0x02,
  /** By the name of the symbology. */
  TROM_FORMAT = 0x04,
  TROM_REV = -2147483647 - 1,
  TROM_SKIP = 0x00
} TextResultOrderMode;

/** Units of coordinates. */
typedef enum ResultCoordinateType {
  RCT_PIXEL = 0x01,
  RCT_PERCENTAGE = 0x02
} ResultCoordinateType;

/** What an intermediate result points to. */
typedef enum IMResultDataType {
  IMRDT_IMAGE = 0x01,
  IMRDT_CONTOUR = 0x02,
  IMRDT_LINESEGMENT = 0x04,
  IMRDT_LOCALIZATIONRESULT = 0x08,
  IMRDT_REGIONOFINTEREST = 0x10,
  IMRDT_QUADRILATERAL = 0x20,
  IMRDT_REFERENCE = 0x40
} IMResultDataType;

/** How printed text beside a symbol is read. */
typedef enum AccompanyingTextRecognitionMode {
  ATRM_GENERAL = 0x01,
  ATRM_REV = -2147483647 - 1,
  ATRM_SKIP = 0x00
} AccompanyingTextRecognitionMode;

/** How sharpness is measured. */
typedef enum ClarityCalculationMethod {
  ECCM_CONTRAST = 0x01
} ClarityCalculationMethod;

/** How frames are chosen by their sharpness. */
typedef enum ClarityFilterMode {
  CFM_GENERAL = 0x01
} ClarityFilterMode;

/** How blurred symbols are read. */
typedef enum DeblurMode {
  DM_DIRECT_BINARIZATION = 0x01,
  DM_THRESHOLD_BINARIZATION = 0x02,
  DM_GRAY_EQUALIZATION = 0x04,
  DM_SMOOTHING = 0x08,
  DM_MORPHING = 0x10,
  DM_DEEP_ANALYSIS = 0x20,
  DM_SHARPENING = 0x40,
  DM_BASED_ON_LOC_BIN = 0x80,
  DM_SHARPENING_SMOOTHING = 0x100,
  DM_REV = -2147483647 - 1,
  DM_SKIP = 0x00
} DeblurMode;

/** Which parts of a symbol are decoded, in templates (_DBR 9.6_). */
typedef enum PartitionMode {
  PM_WHOLE_BARCODE = 0x01,
  PM_ALIGNMENT_PARTITION = 0x02
} PartitionMode;

#pragma pack(push, 1)

/** Part of a picture that shows one symbol. */
typedef struct tagSamplingImageData {
  unsigned char *bytes;
  int width;
  int height;
} SamplingImageData;

/** Part of a picture in which barcodes are looked for. All 0: the whole picture. */
typedef struct tagRegionDefinition {
  int regionTop;
  int regionLeft;
  int regionRight;
  int regionBottom;
  /** 0: in pixels; 1: in percent of the picture's width and height. */
  int regionMeasuredByPercentage;
} RegionDefinition;

/** Modes of the steps of reading, in the order in which they are tried; what stands behind the last is 0. */
typedef struct tagFurtherModes {
  ColorClusteringMode colorClusteringModes[8];
  ColorConversionMode colorConversionModes[8];
  GrayscaleTransformationMode grayscaleTransformationModes[8];
  RegionPredetectionMode regionPredetectionModes[8];
  ImagePreprocessingMode imagePreprocessingModes[8];
  TextureDetectionMode textureDetectionModes[8];
  TextFilterMode textFilterModes[8];
  TextAssistedCorrectionMode textAssistedCorrectionMode;
  DPMCodeReadingMode dpmCodeReadingModes[8];
  /** Any mode: a picture in which less is found than expected is also read turned by 30 and 60 degrees. */
  DeformationResistingMode deformationResistingModes[8];
  BarcodeComplementMode barcodeComplementModes[8];
  BarcodeColorMode barcodeColorModes[8];
  AccompanyingTextRecognitionMode accompanyingTextRecognitionModes[8];
  char reserved[32];
} FurtherModes;

/** How barcodes are read. Get them, change them, update them. */
typedef struct tagPublicRuntimeSettings {
  /** TP_BARCODE_RECOGNIZED; an earlier phase gives no results, and so counts no scans. */
  TerminatePhase terminatePhase;
  /** Milliseconds that searching one page may take; 0 for no limit. 10000. */
  int timeout;
  /** 1 to 4. One thread reads, whatever it is. */
  int maxAlgorithmThreadCount;
  /** Barcodes to find: searching stops when there are so many; 0 for all. */
  int expectedBarcodesCount;
  /** BarcodeFormat as bits: BF_ALL. */
  int barcodeFormatIds;
  /** BarcodeFormat_2 as bits: BF2_NULL. */
  int barcodeFormatIds_2;
  int pdfRasterDPI;
  int scaleDownThreshold;
  BinarizationMode binarizationModes[8];
  /** LM_SCAN_DIRECTLY or LM_ONED_FAST_SCAN alone: speed before effort, as deblurLevel 0. */
  LocalizationMode localizationModes[8];
  FurtherModes furtherModes;
  /** 1 to 9 (default): rotated, inverted and small symbols are found. 0: upright ones, faster. */
  int deblurLevel;
  int intermediateResultTypes;
  IntermediateResultSavingMode intermediateResultSavingMode;
  ResultCoordinateType resultCoordinateType;
  TextResultOrderMode textResultOrderModes[8];
  int returnBarcodeZoneClarity;
  RegionDefinition region;
  /** Shorter texts are not returned, and not counted. 0. */
  int minBarcodeTextLength;
  /** Less certain results are not returned, and not counted. 0 to 100: 30. */
  int minResultConfidence;
  ScaleUpMode scaleUpModes[8];
  PDFReadingMode pdfReadingMode;
  DeblurMode deblurModes[10];
  /** Barcodes nearer to the border of the picture, in pixels, are not returned, and not counted. 0. */
  int barcodeZoneMinDistanceToImageBorders;
  char reserved[36];
} PublicRuntimeSettings;

/** How frames of a sequence look, and how they are read. */
typedef struct tagFrameDecodingParameters {
  /** Frames that wait at one time, 1 to 4096; a frame that does not fit takes the place of the oldest. 3. */
  int maxQueueLength;
  /** Frames whose results are kept. 10. Accepted; results go to the callback. */
  int maxResultQueueLength;
  int width;
  int height;
  int stride;
  ImagePixelFormat imagePixelFormat;
  RegionDefinition region;
  float threshold;
  int fps;
  int autoFilter;
  ClarityCalculationMethod clarityCalculationMethod;
  ClarityFilterMode clarityFilterMode;
  /**
   * The first four bytes are an int of DBR 9.6, duplicateForgetTime: milliseconds in which a barcode that was counted
   * does not count again, 0 to 600000. DBR_InitFrameDecodingParameters sets 3000.
   */
#ifdef SEATMETER_DBR_9
  int duplicateForgetTime;
  char reserved[16];
#else
  char reserved[20];
#endif
} FrameDecodingParameters;

/** What else is known of one barcode. */
typedef struct tagExtendedResult {
  ResultType resultType;
  BarcodeFormat barcodeFormat;
  const char *barcodeFormatString;
  BarcodeFormat_2 barcodeFormat_2;
  const char *barcodeFormatString_2;
  int confidence;
  unsigned char *bytes;
  int bytesLength;
  unsigned char *accompanyingTextBytes;
  int accompanyingTextBytesLength;
  int deformation;
  /** As in TextResult. */
  void *detailedResult;
  SamplingImageData samplingImage;
  int clarity;
  char reserved[40];
} ExtendedResult, *PExtendedResult;

/** Where a barcode is in its picture. */
typedef struct tagLocalizationResult {
  TerminatePhase terminatePhase;
  BarcodeFormat barcodeFormat;
  const char *barcodeFormatString;
  BarcodeFormat_2 barcodeFormat_2;
  const char *barcodeFormatString_2;
  /** Corners, clockwise from the symbol's own top left. */
  int x1;
  int y1;
  int x2;
  int y2;
  int x3;
  int y3;
  int x4;
  int y4;
  /** How far the symbol is turned, 0 to 359 degrees. */
  int angle;
  /** Size of a module in pixels; 0 when it is not known. */
  int moduleSize;
  /** From 0. */
  int pageNumber;
  const char *regionName;
  const char *documentName;
  ResultCoordinateType resultCoordinateType;
  unsigned char *accompanyingTextBytes;
  int accompanyingTextBytesLength;
  int confidence;
#ifdef SEATMETER_DBR_9
  /** Takes places of the stored picture to the upright one, by DBR_TransformCoordinates; row by row. */
  double transformationMatrix[9];
#endif
  char reserved[52];
} LocalizationResult, *PLocalizationResult;

/** One barcode. Text, strings, bytes and localizationResult are never NULL. */
typedef struct tagTextResult {
  BarcodeFormat barcodeFormat;
  const char *barcodeFormatString;
  BarcodeFormat_2 barcodeFormat_2;
  const char *barcodeFormatString_2;
  /** Content as text, UTF-8; masked with '*' when there was no license or seat to read it under. */
  const char *barcodeText;
  /** Content as it was encoded, with a NUL behind it that does not count. */
  unsigned char *barcodeBytes;
  int barcodeBytesLength;
  LocalizationResult *localizationResult;
  /** OneDCodeDetails, QRCodeDetails, PDF417Details, DataMatrixDetails or AztecDetails, by the format; else NULL. */
  void *detailedResult;
  /** Entries in results: 1. */
  int resultsCount;
  PExtendedResult *results;
  /** Why the text is masked; NULL when it is not. */
  const char *exception;
  int isDPM;
  int isMirrored;
  char reserved[44];
} TextResult, *PTextResult;

/** The barcodes of one decode call, or of one frame. */
typedef struct tagTextResultArray {
  int resultsCount;
  PTextResult *results;
} TextResultArray, *PTextResultArray;

/** Of linear symbols. Sizes are pixels. */
typedef struct tagOneDCodeDetails {
  int moduleSize;
  unsigned char *startCharsBytes;
  int startCharsBytesLength;
  unsigned char *stopCharsBytes;
  int stopCharsBytesLength;
  unsigned char *checkDigitBytes;
  int checkDigitBytesLength;
  float startPatternRange[2];
  float middlePatternRange[2];
  float endPatternRange[2];
  char reserved[8];
} OneDCodeDetails;

/** Of QR codes and micro QR codes. */
typedef struct tagQRCodeDetails {
  int moduleSize;
  int rows;
  int columns;
  QRCodeErrorCorrectionLevel errorCorrectionLevel;
  int version;
  int model;
  int mode;
  /** Place in a structured append, and how many symbols it has; -1 when it is none. */
  int page;
  int totalPage;
  unsigned char parityData;
  char reserved[16];
} QRCodeDetails;

/** Of PDF417. */
typedef struct tagPDF417Details {
  int moduleSize;
  int rows;
  int columns;
  int errorCorrectionLevel;
#ifdef SEATMETER_DBR_9
  /** Not known: 0. */
  int hasLeftRowIndicator;
  int hasRightRowIndicator;
  char reserved[24];
#else
  char reserved[32];
#endif
} PDF417Details;

/** Of Data Matrix. */
typedef struct tagDataMatrixDetails {
  int moduleSize;
  int rows;
  int columns;
  int dataRegionRows;
  int dataRegionColumns;
  int dataRegionNumber;
  char reserved[32];
} DataMatrixDetails;

/** Of Aztec. */
typedef struct tagAztecDetails {
  int moduleSize;
  int rows;
  int columns;
  /** Negative: compact. */
  int layerNumber;
  char reserved[32];
} AztecDetails;

/** A step on the way to a result. This library has none to give. */
typedef struct tagIntermediateResult {
  int resultsCount;
  const void **results;
  IMResultDataType dataType;
  IntermediateResultType resultType;
  BarcodeComplementMode barcodeComplementMode;
  int bcmIndex;
  DeformationResistingMode deformationResistingMode;
  int drmIndex;
  DPMCodeReadingMode dpmCodeReadingMode;
  int dpmcrmIndex;
  double rotationMatrix[9];
  TextFilterMode textFilterMode;
  int tfmIndex;
  LocalizationMode localizationMode;
  int lmIndex;
  BinarizationMode binarizationMode;
  int bmIndex;
  ImagePreprocessingMode imagePreprocessingMode;
  int ipmIndex;
  int roiId;
  RegionPredetectionMode regionPredetectionMode;
  int rpmIndex;
  GrayscaleTransformationMode grayscaleTransformationMode;
  int gtmIndex;
  ColorConversionMode colorConversionMode;
  int cicmIndex;
  ColorClusteringMode colorClusteringMode;
  int ccmIndex;
  int scaleDownRatio;
  int frameId;
  int rpmColorArgumentIndex;
  char reserved[60];
} IntermediateResult, *PIntermediateResult;

/** Steps on the way to results. */
typedef struct tagIntermediateResultArray {
  int resultsCount;
  PIntermediateResult *results;
} IntermediateResultArray;

/** A part of a picture. */
typedef struct tagRegionOfInterest {
  int roiId;
  DBRPoint point;
  int width;
  int height;
} RegionOfInterest;

/** An outline. */
typedef struct tagContour {
  int pointsCount;
  DBRPoint *points;
} Contour;

/** A line. */
typedef struct tagLineSegment {
  DBRPoint startPoint;
  DBRPoint endPoint;
  unsigned char *linesConfidenceCoefficients;
} LineSegment;

/** The instance pool (_DBR 9.6_). */
typedef struct tagInstancePoolStatus {
  /** Instances that this process may have: seats of the device, or its own limit if that is lower. */
  int authorizedInstancesCount;
  /** Of those, how many are free now. */
  int remainingInstancesCount;
  /** Threads of this process that wait in DBR_GetInstance now. */
  int waitingCreationInstances;
  /** How often one had to wait. */
  int totalWaitOccurrences;
} InstancePoolStatus;

#pragma pack(pop)

/** Gets the number of a frame that could not be read, or not be counted, and why. On the thread that decodes. */
typedef void (*CB_Error)(int frameId, int errorCode, void *pUser);

/**
 * Gets the barcodes of a frame, also when there are none. On the thread that decodes. The results are the callback's:
 * it, or whoever it gives them to, frees them with DBR_FreeTextResults.
 */
typedef void (*CB_TextResult)(int frameId, TextResultArray *pResults, void *pUser);

/** Gets intermediate results: never called. */
typedef void (*CB_IntermediateResult)(int frameId, IntermediateResultArray *pResults, void *pUser);

#ifdef __cplusplus
extern "C" {
#endif

/** What an error number means and what to do about it: a static string, never NULL. */
DBR_API const char *DBR_GetErrorString(int errorCode);

/** The version of the library: a static string. */
DBR_API const char *DBR_GetVersion(void);

/** Make a reader, and take a seat for it if there is one. Without a license or seat its decode calls say why. */
DBR_API void *DBR_CreateInstance(void);

/**
 * Give the seat back and free the reader. NULL does nothing.
 *
 * Stops frame decoding first, and waits for the frame that is being decoded. Any thread.
 */
DBR_API void DBR_DestroyInstance(void *barcodeReader);

/**
 * Get a reader from the instance pool, with its seat; give it back with DBR_RecycleInstance (_DBR 9.6_).
 *
 * Threads: any. Blocks: as long as DBR_SetMaxConcurrentInstanceCount says; not at all unless it was called.
 * Returns NULL when no instance or seat became free in that time, or without a license.
 */
DBR_API void *DBR_GetInstance(void);

/** Give a reader back to the instance pool. NULL does nothing. Any thread (_DBR 9.6_). */
DBR_API void DBR_RecycleInstance(void *barcodeReader);

/** 1 when this reader has a license, and a seat where one is needed; else 0 (_DBR 9.6_). */
DBR_API int DBR_IsInstanceValid(void *barcodeReader);

/** How the instance pool stands; all 0 without a license. INT_MAX where the license has no seats (_DBR 9.6_). */
DBR_API InstancePoolStatus DBR_GetInstancePoolStatus(void);

/**
 * Set up the instance pool (_DBR 9.6_).
 *
 * countForThisDevice: seats to ask for at the next DBR_InitLicenseFromDLS, if that is more than
 * maxConcurrentInstanceCount; 0 to 65536. countForThisProcess: instances that this process has at one time; 0 for
 * no limit of its own. timeOut: milliseconds for which DBR_GetInstance waits, 0 to 600000. Returns 0, or -10038
 * when one is out of range; then none is changed.
 */
DBR_API int DBR_SetMaxConcurrentInstanceCount(int countForThisDevice, int countForThisProcess, int timeOut);

/** Set every field to its default. */
DBR_API int DBR_InitLTSConnectionParameters(DM_LTSConnectionParameters *pLTSConnectionParameters);

/** Set every field to its default. */
DBR_API int DBR_InitDLSConnectionParameters(DM_DLSConnectionParameters *pDLSConnectionParameters);

/** Free seats of this device: GetIdleInstancesCount of seatmeter.h. */
DBR_API int DBR_GetIdleInstancesCount(void);

/** The older name of DBR_InitLicenseFromDLS. */
DBR_API int DBR_InitLicenseFromLTS(DM_LTSConnectionParameters *pLTSConnectionParameters, char errorMsgBuffer[],
                                   const int errorMsgBufferLen);

/** Get this process licensed: InitLicenseFromDLS of seatmeter.h. */
DBR_API int DBR_InitLicenseFromDLS(DM_DLSConnectionParameters *pDLSConnectionParameters, char errorMsgBuffer[],
                                   const int errorMsgBufferLen);

/**
 * Get this process licensed with a handshake code alone, or with a key "DLS2…", which holds connection parameters.
 *
 * What the key leaves open has its default; the server is that of the environment. The deployment type is desktop,
 * or server where the license is not for desktops. barcodeReader is not used and may be NULL.
 */
#ifdef SEATMETER_DBR_9
/* Here errorMsgBuffer gets a sentence on failure. */
DBR_API int DBR_InitLicense(const char *pLicense, char errorMsgBuffer[], const int errorMsgBufferLen);
#else
DBR_API int DBR_InitLicense(void *barcodeReader, const char *pLicense);
#endif

/** As DBR_InitLicense, from this license server. */
DBR_API int DBR_InitLicenseFromServer(void *barcodeReader, const char *pLicenseServer, const char *pLicenseKey);

/** Returns -20006: a license is what the server signs for this device, and is kept there; see DBR_InitLicense. */
DBR_API int DBR_InitLicenseFromLicenseContent(void *barcodeReader, const char *pLicenseKey,
                                              const char *pLicenseContent);

/** Sets content to "" and returns -20006, as DBR_InitLicenseFromLicenseContent. */
DBR_API int DBR_OutputLicenseToString(void *barcodeReader, char content[], int contentLen);

/** Sets *content to NULL and returns -20006. */
DBR_API int DBR_OutputLicenseToStringPtr(void *barcodeReader, char **content);

/** Free a string, and set the pointer to NULL. NULL does nothing. */
DBR_API void DBR_FreeLicenseString(char **content);

/** Free a string, and set the pointer to NULL. NULL does nothing (_DBR 9.6_). */
DBR_API void DBR_FreeString(char **content);

/** Give this device a name for people; before the license (_DBR 9.6_). */
DBR_API int DBR_SetDeviceFriendlyName(const char *name);

/** Choose where this device's state is kept; before the license (_DBR 9.6_). */
DBR_API int DBR_SetLicenseCachePath(const char *directoryPath);

/**
 * Get the client UUID of this device, to be freed with DBR_FreeString (_DBR 9.6_).
 *
 * A device that has none yet gets one at random; uuidGenerationMethod is 1 or 2, and counts at DBR_InitLicenseFromDLS.
 */
DBR_API int DBR_GetDeviceUUID(int uuidGenerationMethod, char **uuid);

/**
 * Decode an image file and count its different barcodes against the license.
 *
 * PNG, JPEG, BMP, GIF (each picture of it) and TIFF (each page), by their content. pTemplateName: NULL or "" for the
 * current settings, or the name of a template. Blocks: as long as decoding takes; searching one page as long as the
 * settings say. Returns 0, also when there is no barcode; the license's error, then texts are masked; -10005 no such
 * file; -10006 another kind of file; -10022 a PDF file; -10012 a damaged or too large picture, -10013 of a TIFF file;
 * -10009 no format of the settings can be read; -10010 the region is outside; -10026 the time was over before all was
 * searched: what was found is there; -10036 no template of this name.
 */
DBR_API int DBR_DecodeFile(void *barcodeReader, const char *pFileName, const char *pTemplateName);

/** As DBR_DecodeFile, of an image file in memory. */
DBR_API int DBR_DecodeFileInMemory(void *barcodeReader, const unsigned char *pFileBytes, const int fileSize,
                                   const char *pTemplateName);

/**
 * As DBR_DecodeFile, of pixels in memory.
 *
 * A row has stride bytes; the last one may be shorter. Returns also -10038 when width, height, stride or format
 * cannot be.
 */
DBR_API int DBR_DecodeBuffer(void *barcodeReader, const unsigned char *pBufferBytes, const int width,
                             const int height, const int stride, const ImagePixelFormat format,
                             const char *pTemplateName);

/** As DBR_DecodeFile, of an image file in base64; white space, and what a data URL has in front, may be there. */
DBR_API int DBR_DecodeBase64String(void *barcodeReader, const char *pBase64String, const char *pTemplateName);

/**
 * As DBR_DecodeFile, of a bitmap: the address of a BITMAPINFOHEADER, its colors and its pixels behind.
 *
 * 1, 4, 8, 16, 24 or 32 bits a pixel, not compressed. Returns also -10018 when the header cannot be, -10007 for
 * another number of bits.
 */
DBR_API int DBR_DecodeDIB(void *barcodeReader, const HANDLE hDIB, const char *pTemplateName);

/**
 * As DBR_DecodeBuffer; bytesLength must cover the picture (_DBR 9.6_).
 *
 * In the header of 9.x, ImageData has an orientation: returns also -10063 when it is not 0, 90, 180 or 270. It changes
 * transformationMatrix of the results, and nothing else.
 */
DBR_API int DBR_DecodeImageData(void *barcodeReader, const ImageData *imageData, const char *pTemplateName);

/** Returns -10056: there are no intermediate results. */
DBR_API int DBR_DecodeIntermediateResults(void *barcodeReader,
                                          const IntermediateResultArray *pIntermediateResultArray,
                                          const char *pTemplateName);

/** Set every field to its default. barcodeReader is not used. */
DBR_API int DBR_InitFrameDecodingParameters(void *barcodeReader, FrameDecodingParameters *pParameters);

/**
 * Start a thread that decodes frames; results go to the callbacks, which are set before.
 *
 * The barcodes of a sequence count once within the forget time of 3 s. Returns -10049 when frames are being decoded
 * already; -10038 when a number cannot be; -10036 no template of this name.
 */
DBR_API int DBR_StartFrameDecoding(void *barcodeReader, const int maxQueueLength, const int maxResultQueueLength,
                                   const int width, const int height, const int stride,
                                   const ImagePixelFormat format, const char *pTemplateName);

/** The same with the forget time. Region, threshold, fps and filters choose no frames: every frame is read. */
DBR_API int DBR_StartFrameDecodingEx(void *barcodeReader, FrameDecodingParameters parameters,
                                     const char *pTemplateName);

/**
 * Hand a frame in; its stride * height bytes are copied. Blocks: never.
 *
 * Returns the number of the frame, from 0 on, or a negative number: -10001 when there is no memory for it, -10002 also when
 * no frames are being decoded.
 */
DBR_API int DBR_AppendFrame(void *barcodeReader, unsigned char *pBufferBytes);

/** The number of frames that wait; 0 when no frames are being decoded. */
DBR_API int DBR_GetLengthOfFrameQueue(void *barcodeReader);

/**
 * End frame decoding: frames that wait are dropped.
 *
 * Blocks: until the frame that is being decoded is done, and its callbacks are; called by one of those, not at all.
 * Returns 0, or -10050 when no frames are being decoded.
 */
DBR_API int DBR_StopFrameDecoding(void *barcodeReader);

/**
 * Set an argument of a mode, such as "BinarizationModes", 0, "BlockSizeX". It is kept and given back; none has an
 * effect. Returns -10051 when there is no such list of modes, or no mode at this index.
 */
DBR_API int DBR_SetModeArgument(void *barcodeReader, const char *pModesName, const int index,
                                const char *pArgumentName, const char *pArgumentValue, char errorMsgBuffer[],
                                const int errorMsgBufferLen);

/** Get an argument of a mode. Returns -10055 when it was not set, or has no room. */
DBR_API int DBR_GetModeArgument(void *barcodeReader, const char *pModesName, const int index,
                                const char *pArgumentName, char valueBuffer[], const int valueBufferLen,
                                char errorMsgBuffer[], const int errorMsgBufferLen);

/** Get the current settings. */
DBR_API int DBR_GetRuntimeSettings(void *barcodeReader, PublicRuntimeSettings *pSettings);

/** Change the current settings. Returns -10038 or -10010 for a value that cannot be: then none is changed. */
DBR_API int DBR_UpdateRuntimeSettings(void *barcodeReader, PublicRuntimeSettings *pSettings, char errorMsgBuffer[],
                                      const int errorMsgBufferLen);

/** Set every setting to its default, and forget the templates. */
DBR_API int DBR_ResetRuntimeSettings(void *barcodeReader);

/** As DBR_InitRuntimeSettingsWithString, from a file. */
DBR_API int DBR_InitRuntimeSettingsWithFile(void *barcodeReader, const char *pFilePath,
                                            const ConflictMode conflictMode, char errorMsgBuffer[],
                                            const int errorMsgBufferLen);

/**
 * Forget all settings and templates, and take those of this JSON text.
 *
 * null means "not set" everywhere. A byte-order mark, white space and NULs around the text are skipped. What is set and
 * has no effect is listed by DBR_OutputSettingsToString. Returns -10030 to -10037 for a text that cannot be; then nothing
 * is changed.
 */
DBR_API int DBR_InitRuntimeSettingsWithString(void *barcodeReader, const char *content,
                                              const ConflictMode conflictMode, char errorMsgBuffer[],
                                              const int errorMsgBufferLen);

/** As DBR_AppendTplStringToRuntimeSettings, from a file. */
DBR_API int DBR_AppendTplFileToRuntimeSettings(void *barcodeReader, const char *pFilePath,
                                               const ConflictMode conflictMode, char errorMsgBuffer[],
                                               const int errorMsgBufferLen);

/** Add the templates of this JSON text. What they set becomes current too, as the conflict mode says. */
DBR_API int DBR_AppendTplStringToRuntimeSettings(void *barcodeReader, const char *content,
                                                 const ConflictMode conflictMode, char errorMsgBuffer[],
                                                 const int errorMsgBufferLen);

/** The number of templates; -1 for NULL. */
DBR_API int DBR_GetParameterTemplateCount(void *barcodeReader);

/** The name of a template. Returns -10008 when there is none with this index. */
DBR_API int DBR_GetParameterTemplateName(void *barcodeReader, const int index, char nameBuffer[],
                                         const int nameBufferLen);

/**
 * Write the current settings as JSON, as a template of this name. "WithoutEffect" lists what is set and has no effect.
 * Returns -10038 when there is no room for it.
 */
DBR_API int DBR_OutputSettingsToString(void *barcodeReader, char content[], const int contentLen,
                                       const char *pSettingsName);

/** The same into a string to be freed with DBR_FreeSettingsString. */
DBR_API int DBR_OutputSettingsToStringPtr(void *barcodeReader, char **content, const char *pSettingsName);

/** Free a string, and set the pointer to NULL. NULL does nothing. */
DBR_API void DBR_FreeSettingsString(char **content);

/** The same into a file. */
DBR_API int DBR_OutputSettingsToFile(void *barcodeReader, const char *pFilePath, const char *pSettingsName);

/**
 * Get the results of the last decode call, to be freed with DBR_FreeTextResults: an array also when there are none, and
 * after a decode call that failed. NULL only without a reader or after a fork in mid-decode, with an error.
 */
DBR_API int DBR_GetAllTextResults(void *barcodeReader, TextResultArray **pResults);

/** Free results, and set the pointer to NULL. NULL does nothing. */
DBR_API void DBR_FreeTextResults(TextResultArray **pResults);

/** Set the defaults of an intermediate result. */
DBR_API int DBR_InitIntermediateResult(IntermediateResultType intermediateResultType,
                                       IntermediateResult *pIntermediateResult);

/** Get an empty array, or NULL and -10056 when the settings ask for intermediate results. */
DBR_API int DBR_GetIntermediateResults(void *barcodeReader, IntermediateResultArray **pResult);

/** Free results, and set the pointer to NULL. NULL does nothing. */
DBR_API void DBR_FreeIntermediateResults(IntermediateResultArray **pResults);

/** Choose who hears of errors of frames. Returns -10049 while frames are being decoded. */
DBR_API int DBR_SetErrorCallback(void *barcodeReader, CB_Error cbFunction, void *pUser);

/** Choose who gets the barcodes of each frame. Returns -10049 while frames are being decoded. */
DBR_API int DBR_SetTextResultCallback(void *barcodeReader, CB_TextResult cbFunction, void *pUser);

/** Choose who gets those barcodes of a frame that were not seen within the forget time (_DBR 9.6_). */
DBR_API int DBR_SetUniqueBarcodeCallback(void *barcodeReader, CB_TextResult cbFunction, void *pUser);

/** Returns -10056: there are no intermediate results. */
DBR_API int DBR_SetIntermediateResultCallback(void *barcodeReader, CB_IntermediateResult cbFunction, void *pUser);

/** Where a point comes to by a matrix, row by row; rounded (_DBR 9.6_). */
DBR_API DBRPoint DBR_TransformCoordinates(DBRPoint originalPoint, double transformationMatrix[9]);

#ifndef SEATMETER_DBR_9
/* The library reads ImageData as 9.6 has it, which is longer by its orientation: add one of 0. */
static __inline__ int seatmeter_decode_image_data(void *barcodeReader, const ImageData *imageData,
                                                  const char *pTemplateName) {
  struct {
    ImageData picture;
    int orientation;
  } longer;
  int code;
  if (imageData != NULL) longer.picture = *imageData;
  longer.orientation = 0;
  code = DBR_DecodeImageData(barcodeReader, imageData == NULL ? NULL : &longer.picture, pTemplateName);
  return code;
}
#define DBR_DecodeImageData seatmeter_decode_image_data
#endif

#ifdef __cplusplus
}

namespace dynamsoft {
namespace dbr {

/**
 * A barcode reader. Under a license by concurrent instances it holds a seat while it exists.
 *
 * Each member is the C function of its name; those that need no reader can be called without one.
 */
class CBarcodeReader {
 public:
  CBarcodeReader() : m_pBarcodeReader(DBR_CreateInstance()) {}
  ~CBarcodeReader() { DBR_DestroyInstance(m_pBarcodeReader); }

  static const char *GetErrorString(const int errorCode) { return DBR_GetErrorString(errorCode); }
  static const char *GetVersion() { return DBR_GetVersion(); }

  static int InitLTSConnectionParameters(DM_LTSConnectionParameters *pLTSConnectionParameters) {
    return DBR_InitLTSConnectionParameters(pLTSConnectionParameters);
  }

  static int InitDLSConnectionParameters(DM_DLSConnectionParameters *pDLSConnectionParameters) {
    return DBR_InitDLSConnectionParameters(pDLSConnectionParameters);
  }

  static int GetIdleInstancesCount() { return DBR_GetIdleInstancesCount(); }

  static int InitLicenseFromLTS(DM_LTSConnectionParameters *pLTSConnectionParameters,
                                char errorMsgBuffer[] = NULL, const int errorMsgBufferLen = 0) {
    return DBR_InitLicenseFromLTS(pLTSConnectionParameters, errorMsgBuffer, errorMsgBufferLen);
  }

  static int InitLicenseFromDLS(DM_DLSConnectionParameters *pDLSConnectionParameters,
                                char errorMsgBuffer[] = NULL, const int errorMsgBufferLen = 0) {
    return DBR_InitLicenseFromDLS(pDLSConnectionParameters, errorMsgBuffer, errorMsgBufferLen);
  }

#ifdef SEATMETER_DBR_9
  static int InitLicense(const char *pLicense, char errorMsgBuffer[] = NULL, const int errorMsgBufferLen = 0) {
    return DBR_InitLicense(pLicense, errorMsgBuffer, errorMsgBufferLen);
  }
#else
  /** The buffer is one of DBR 9.6, and gets what GetErrorString says. */
  static int InitLicense(const char *pLicense, char errorMsgBuffer[] = NULL, const int errorMsgBufferLen = 0) {
    const int code = DBR_InitLicense(NULL, pLicense);
    const char *text = code == DBR_OK ? "" : DBR_GetErrorString(code);
    if (errorMsgBuffer != NULL && errorMsgBufferLen > 0) {
      int i = 0;
      for (; i < errorMsgBufferLen - 1 && text[i] != '\0'; i++) errorMsgBuffer[i] = text[i];
      errorMsgBuffer[i] = '\0';
    }
    return code;
  }
#endif

  static int InitLicenseFromServer(const char *pLicenseServer, const char *pLicenseKey) {
    return DBR_InitLicenseFromServer(NULL, pLicenseServer, pLicenseKey);
  }

  static int InitLicenseFromLicenseContent(const char *pLicenseKey, const char *pLicenseContent) {
    return DBR_InitLicenseFromLicenseContent(NULL, pLicenseKey, pLicenseContent);
  }

  int OutputLicenseToString(char content[], const int contentLen) {
    return DBR_OutputLicenseToString(m_pBarcodeReader, content, contentLen);
  }

  int OutputLicenseToStringPtr(char **content) { return DBR_OutputLicenseToStringPtr(m_pBarcodeReader, content); }
  static void FreeLicenseString(char **content) { DBR_FreeLicenseString(content); }
  static void FreeString(char **content) { DBR_FreeString(content); }
  static int SetDeviceFriendlyName(const char *name) { return DBR_SetDeviceFriendlyName(name); }
  static int SetLicenseCachePath(const char *directoryPath) { return DBR_SetLicenseCachePath(directoryPath); }

  static int GetDeviceUUID(int uuidGenerationMethod, char **uuid) {
    return DBR_GetDeviceUUID(uuidGenerationMethod, uuid);
  }

  static int SetMaxConcurrentInstanceCount(int countForThisDevice, int countForThisProcess, int timeOut) {
    return DBR_SetMaxConcurrentInstanceCount(countForThisDevice, countForThisProcess, timeOut);
  }

  /** A reader of the instance pool, or NULL; give it back with Recycle. */
  static CBarcodeReader *GetInstance() {
    void *reader = DBR_GetInstance();
    return reader == NULL ? NULL : new CBarcodeReader(reader);
  }

  /** Give a reader that came from GetInstance back. */
  void Recycle() { delete this; }

  static InstancePoolStatus GetInstancePoolStatus() { return DBR_GetInstancePoolStatus(); }
  bool IsInstanceValid() { return DBR_IsInstanceValid(m_pBarcodeReader) != 0; }

  int DecodeFile(const char *pFileName, const char *pTemplateName = "") {
    return DBR_DecodeFile(m_pBarcodeReader, pFileName, pTemplateName);
  }

  int DecodeFileInMemory(const unsigned char *pFileBytes, int fileSize, const char *pTemplateName = "") {
    return DBR_DecodeFileInMemory(m_pBarcodeReader, pFileBytes, fileSize, pTemplateName);
  }

  int DecodeBuffer(const unsigned char *pBufferBytes, const int width, const int height, const int stride,
                   const ImagePixelFormat format, const char *pTemplateName = "") {
    return DBR_DecodeBuffer(m_pBarcodeReader, pBufferBytes, width, height, stride, format, pTemplateName);
  }

  int DecodeBase64String(const char *pBase64String, const char *pTemplateName = "") {
    return DBR_DecodeBase64String(m_pBarcodeReader, pBase64String, pTemplateName);
  }

  int DecodeDIB(const HANDLE hDIB, const char *pTemplateName = "") {
    return DBR_DecodeDIB(m_pBarcodeReader, hDIB, pTemplateName);
  }

  int DecodeImageData(const ImageData *imageData, const char *pTemplateName = "") {
    return DBR_DecodeImageData(m_pBarcodeReader, imageData, pTemplateName);
  }

  int DecodeIntermediateResults(const IntermediateResultArray *pIntermediateResultArray,
                                const char *pTemplateName = "") {
    return DBR_DecodeIntermediateResults(m_pBarcodeReader, pIntermediateResultArray, pTemplateName);
  }

  int InitFrameDecodingParameters(FrameDecodingParameters *pParameters) {
    return DBR_InitFrameDecodingParameters(m_pBarcodeReader, pParameters);
  }

  int StartFrameDecoding(const int maxQueueLength, const int maxResultQueueLength, const int width,
                         const int height, const int stride, const ImagePixelFormat format,
                         const char *pTemplateName = "") {
    return DBR_StartFrameDecoding(m_pBarcodeReader, maxQueueLength, maxResultQueueLength, width, height, stride,
                                  format, pTemplateName);
  }

  int StartFrameDecodingEx(FrameDecodingParameters parameters, const char *pTemplateName = "") {
    return DBR_StartFrameDecodingEx(m_pBarcodeReader, parameters, pTemplateName);
  }

  int AppendFrame(unsigned char *pBufferBytes) { return DBR_AppendFrame(m_pBarcodeReader, pBufferBytes); }
  int GetLengthOfFrameQueue() { return DBR_GetLengthOfFrameQueue(m_pBarcodeReader); }
  int StopFrameDecoding() { return DBR_StopFrameDecoding(m_pBarcodeReader); }

  int SetModeArgument(const char *pModesName, const int index, const char *pArgumentName,
                      const char *pArgumentValue, char errorMsgBuffer[] = NULL, const int errorMsgBufferLen = 0) {
    return DBR_SetModeArgument(m_pBarcodeReader, pModesName, index, pArgumentName, pArgumentValue, errorMsgBuffer,
                               errorMsgBufferLen);
  }

  int GetModeArgument(const char *pModesName, const int index, const char *pArgumentName, char valueBuffer[],
                      const int valueBufferLen, char errorMsgBuffer[] = NULL, const int errorMsgBufferLen = 0) {
    return DBR_GetModeArgument(m_pBarcodeReader, pModesName, index, pArgumentName, valueBuffer, valueBufferLen,
                               errorMsgBuffer, errorMsgBufferLen);
  }

  int GetRuntimeSettings(PublicRuntimeSettings *pSettings) {
    return DBR_GetRuntimeSettings(m_pBarcodeReader, pSettings);
  }

  int UpdateRuntimeSettings(PublicRuntimeSettings *pSettings, char errorMsgBuffer[] = NULL,
                            const int errorMsgBufferLen = 0) {
    return DBR_UpdateRuntimeSettings(m_pBarcodeReader, pSettings, errorMsgBuffer, errorMsgBufferLen);
  }

  int ResetRuntimeSettings() { return DBR_ResetRuntimeSettings(m_pBarcodeReader); }

  int InitRuntimeSettingsWithFile(const char *pFilePath, const ConflictMode conflictMode,
                                  char errorMsgBuffer[] = NULL, const int errorMsgBufferLen = 0) {
    return DBR_InitRuntimeSettingsWithFile(m_pBarcodeReader, pFilePath, conflictMode, errorMsgBuffer,
                                           errorMsgBufferLen);
  }

  int InitRuntimeSettingsWithString(const char *content, const ConflictMode conflictMode,
                                    char errorMsgBuffer[] = NULL, const int errorMsgBufferLen = 0) {
    return DBR_InitRuntimeSettingsWithString(m_pBarcodeReader, content, conflictMode, errorMsgBuffer,
                                             errorMsgBufferLen);
  }

  int AppendTplFileToRuntimeSettings(const char *pFilePath, const ConflictMode conflictMode,
                                     char errorMsgBuffer[] = NULL, const int errorMsgBufferLen = 0) {
    return DBR_AppendTplFileToRuntimeSettings(m_pBarcodeReader, pFilePath, conflictMode, errorMsgBuffer,
                                              errorMsgBufferLen);
  }

  int AppendTplStringToRuntimeSettings(const char *content, const ConflictMode conflictMode,
                                       char errorMsgBuffer[] = NULL, const int errorMsgBufferLen = 0) {
    return DBR_AppendTplStringToRuntimeSettings(m_pBarcodeReader, content, conflictMode, errorMsgBuffer,
                                                errorMsgBufferLen);
  }

  int GetParameterTemplateCount() { return DBR_GetParameterTemplateCount(m_pBarcodeReader); }

  int GetParameterTemplateName(const int index, char nameBuffer[], const int nameBufferLen) {
    return DBR_GetParameterTemplateName(m_pBarcodeReader, index, nameBuffer, nameBufferLen);
  }

  int OutputSettingsToString(char content[], const int contentLen, const char *pSettingsName) {
    return DBR_OutputSettingsToString(m_pBarcodeReader, content, contentLen, pSettingsName);
  }

  int OutputSettingsToStringPtr(char **content, const char *pSettingsName) {
    return DBR_OutputSettingsToStringPtr(m_pBarcodeReader, content, pSettingsName);
  }

  static void FreeSettingsString(char **content) { DBR_FreeSettingsString(content); }

  int OutputSettingsToFile(const char *pFilePath, const char *pSettingsName) {
    return DBR_OutputSettingsToFile(m_pBarcodeReader, pFilePath, pSettingsName);
  }

  int GetAllTextResults(TextResultArray **pResults) { return DBR_GetAllTextResults(m_pBarcodeReader, pResults); }
  static void FreeTextResults(TextResultArray **pResults) { DBR_FreeTextResults(pResults); }

  static int InitIntermediateResult(IntermediateResultType intermediateResultType,
                                    IntermediateResult *pIntermediateResult) {
    return DBR_InitIntermediateResult(intermediateResultType, pIntermediateResult);
  }

  int GetIntermediateResults(IntermediateResultArray **pResult) {
    return DBR_GetIntermediateResults(m_pBarcodeReader, pResult);
  }

  static void FreeIntermediateResults(IntermediateResultArray **pResults) { DBR_FreeIntermediateResults(pResults); }

  int SetErrorCallback(CB_Error cbFunction, void *pUser) {
    return DBR_SetErrorCallback(m_pBarcodeReader, cbFunction, pUser);
  }

  int SetTextResultCallback(CB_TextResult cbFunction, void *pUser) {
    return DBR_SetTextResultCallback(m_pBarcodeReader, cbFunction, pUser);
  }

  int SetUniqueBarcodeCallback(CB_TextResult cbFunction, void *pUser) {
    return DBR_SetUniqueBarcodeCallback(m_pBarcodeReader, cbFunction, pUser);
  }

  int SetIntermediateResultCallback(CB_IntermediateResult cbFunction, void *pUser) {
    return DBR_SetIntermediateResultCallback(m_pBarcodeReader, cbFunction, pUser);
  }

  static DBRPoint TransformCoordinates(DBRPoint originalPoint, double transformationMatrix[9]) {
    return DBR_TransformCoordinates(originalPoint, transformationMatrix);
  }

 protected:
  void *m_pBarcodeReader;

 private:
  explicit CBarcodeReader(void *reader) : m_pBarcodeReader(reader) {}
  CBarcodeReader(const CBarcodeReader &);
  CBarcodeReader &operator=(const CBarcodeReader &);
};

}  // namespace dbr
}  // namespace dynamsoft
#endif

#endif
