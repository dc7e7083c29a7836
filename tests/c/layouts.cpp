// Layouts of the DBR 8.x structures, as programs compiled for that API expect them (x86-64 Linux, measured on
// its release 8.8), and a check that both headers mean the same by them. The compiler checks everything here.
#include <cstddef>

#include "DynamsoftBarcodeReader.h"
// This is the second header, so that the structure that both declare comes from the first.
#include "seatmeter.h"

#define SIZE(type, bytes) static_assert(sizeof(type) == bytes, #type)
#define FIELD(type, field, offset) static_assert(offsetof(type, field) == offset, #type "." #field)

SIZE(DM_DLSConnectionParameters, 128);
FIELD(DM_DLSConnectionParameters, mainServerURL, 0);
FIELD(DM_DLSConnectionParameters, standbyServerURL, 8);
FIELD(DM_DLSConnectionParameters, handshakeCode, 16);
FIELD(DM_DLSConnectionParameters, sessionPassword, 24);
FIELD(DM_DLSConnectionParameters, deploymentType, 32);
FIELD(DM_DLSConnectionParameters, chargeWay, 36);
FIELD(DM_DLSConnectionParameters, UUIDGenerationMethod, 40);
FIELD(DM_DLSConnectionParameters, maxBufferDays, 44);
FIELD(DM_DLSConnectionParameters, limitedLicenseModulesCount, 48);
FIELD(DM_DLSConnectionParameters, limitedLicenseModules, 52);
FIELD(DM_DLSConnectionParameters, maxConcurrentInstanceCount, 60);
FIELD(DM_DLSConnectionParameters, organizationID, 64);
FIELD(DM_DLSConnectionParameters, products, 72);
FIELD(DM_DLSConnectionParameters, reserved, 76);

SIZE(TextResultArray, 12);
FIELD(TextResultArray, resultsCount, 0);
FIELD(TextResultArray, results, 4);

SIZE(TextResult, 132);
FIELD(TextResult, barcodeFormat, 0);
FIELD(TextResult, barcodeFormatString, 4);
FIELD(TextResult, barcodeFormat_2, 12);
FIELD(TextResult, barcodeFormatString_2, 16);
FIELD(TextResult, barcodeText, 24);
FIELD(TextResult, barcodeBytes, 32);
FIELD(TextResult, barcodeBytesLength, 40);
FIELD(TextResult, localizationResult, 44);
FIELD(TextResult, detailedResult, 52);
FIELD(TextResult, resultsCount, 60);
FIELD(TextResult, results, 64);
FIELD(TextResult, exception, 72);
FIELD(TextResult, isDPM, 80);
FIELD(TextResult, isMirrored, 84);
FIELD(TextResult, reserved, 88);

SIZE(LocalizationResult, 160);
FIELD(LocalizationResult, terminatePhase, 0);
FIELD(LocalizationResult, barcodeFormat, 4);
FIELD(LocalizationResult, barcodeFormatString, 8);
FIELD(LocalizationResult, barcodeFormat_2, 16);
FIELD(LocalizationResult, barcodeFormatString_2, 20);
FIELD(LocalizationResult, x1, 28);
FIELD(LocalizationResult, y1, 32);
FIELD(LocalizationResult, x2, 36);
FIELD(LocalizationResult, y2, 40);
FIELD(LocalizationResult, x3, 44);
FIELD(LocalizationResult, y3, 48);
FIELD(LocalizationResult, x4, 52);
FIELD(LocalizationResult, y4, 56);
FIELD(LocalizationResult, angle, 60);
FIELD(LocalizationResult, moduleSize, 64);
FIELD(LocalizationResult, pageNumber, 68);
FIELD(LocalizationResult, regionName, 72);
FIELD(LocalizationResult, documentName, 80);
FIELD(LocalizationResult, resultCoordinateType, 88);
FIELD(LocalizationResult, accompanyingTextBytes, 92);
FIELD(LocalizationResult, accompanyingTextBytesLength, 100);
FIELD(LocalizationResult, confidence, 104);
FIELD(LocalizationResult, reserved, 108);

SIZE(ExtendedResult, 128);
FIELD(ExtendedResult, resultType, 0);
FIELD(ExtendedResult, barcodeFormat, 4);
FIELD(ExtendedResult, barcodeFormatString, 8);
FIELD(ExtendedResult, barcodeFormat_2, 16);
FIELD(ExtendedResult, barcodeFormatString_2, 20);
FIELD(ExtendedResult, confidence, 28);
FIELD(ExtendedResult, bytes, 32);
FIELD(ExtendedResult, bytesLength, 40);
FIELD(ExtendedResult, accompanyingTextBytes, 44);
FIELD(ExtendedResult, accompanyingTextBytesLength, 52);
FIELD(ExtendedResult, deformation, 56);
FIELD(ExtendedResult, detailedResult, 60);
FIELD(ExtendedResult, samplingImage, 68);
FIELD(ExtendedResult, clarity, 84);
FIELD(ExtendedResult, reserved, 88);

SIZE(PublicRuntimeSettings, 712);
FIELD(PublicRuntimeSettings, terminatePhase, 0);
FIELD(PublicRuntimeSettings, timeout, 4);
FIELD(PublicRuntimeSettings, maxAlgorithmThreadCount, 8);
FIELD(PublicRuntimeSettings, expectedBarcodesCount, 12);
FIELD(PublicRuntimeSettings, barcodeFormatIds, 16);
FIELD(PublicRuntimeSettings, barcodeFormatIds_2, 20);
FIELD(PublicRuntimeSettings, pdfRasterDPI, 24);
FIELD(PublicRuntimeSettings, scaleDownThreshold, 28);
FIELD(PublicRuntimeSettings, binarizationModes, 32);
FIELD(PublicRuntimeSettings, localizationModes, 64);
FIELD(PublicRuntimeSettings, furtherModes, 96);
FIELD(PublicRuntimeSettings, deblurLevel, 516);
FIELD(PublicRuntimeSettings, intermediateResultTypes, 520);
FIELD(PublicRuntimeSettings, intermediateResultSavingMode, 524);
FIELD(PublicRuntimeSettings, resultCoordinateType, 528);
FIELD(PublicRuntimeSettings, textResultOrderModes, 532);
FIELD(PublicRuntimeSettings, returnBarcodeZoneClarity, 564);
FIELD(PublicRuntimeSettings, region, 568);
FIELD(PublicRuntimeSettings, minBarcodeTextLength, 588);
FIELD(PublicRuntimeSettings, minResultConfidence, 592);
FIELD(PublicRuntimeSettings, scaleUpModes, 596);
FIELD(PublicRuntimeSettings, pdfReadingMode, 628);
FIELD(PublicRuntimeSettings, deblurModes, 632);
FIELD(PublicRuntimeSettings, barcodeZoneMinDistanceToImageBorders, 672);
FIELD(PublicRuntimeSettings, reserved, 676);

SIZE(FurtherModes, 420);
FIELD(FurtherModes, colorClusteringModes, 0);
FIELD(FurtherModes, textAssistedCorrectionMode, 224);
FIELD(FurtherModes, accompanyingTextRecognitionModes, 356);
FIELD(FurtherModes, reserved, 388);

SIZE(RegionDefinition, 20);
FIELD(RegionDefinition, regionTop, 0);
FIELD(RegionDefinition, regionLeft, 4);
FIELD(RegionDefinition, regionRight, 8);
FIELD(RegionDefinition, regionBottom, 12);
FIELD(RegionDefinition, regionMeasuredByPercentage, 16);

SIZE(FrameDecodingParameters, 84);
FIELD(FrameDecodingParameters, maxQueueLength, 0);
FIELD(FrameDecodingParameters, maxResultQueueLength, 4);
FIELD(FrameDecodingParameters, width, 8);
FIELD(FrameDecodingParameters, height, 12);
FIELD(FrameDecodingParameters, stride, 16);
FIELD(FrameDecodingParameters, imagePixelFormat, 20);
FIELD(FrameDecodingParameters, region, 24);
FIELD(FrameDecodingParameters, threshold, 44);
FIELD(FrameDecodingParameters, fps, 48);
FIELD(FrameDecodingParameters, autoFilter, 52);
FIELD(FrameDecodingParameters, clarityCalculationMethod, 56);
FIELD(FrameDecodingParameters, clarityFilterMode, 60);
FIELD(FrameDecodingParameters, reserved, 64);

SIZE(SamplingImageData, 16);
FIELD(SamplingImageData, bytes, 0);
FIELD(SamplingImageData, width, 8);
FIELD(SamplingImageData, height, 12);

SIZE(IntermediateResult, 256);
FIELD(IntermediateResult, resultsCount, 0);
FIELD(IntermediateResult, results, 4);
FIELD(IntermediateResult, rotationMatrix, 44);
FIELD(IntermediateResult, roiId, 148);
FIELD(IntermediateResult, frameId, 188);
FIELD(IntermediateResult, reserved, 196);

SIZE(ImageData, 28);
FIELD(ImageData, bytesLength, 0);
FIELD(ImageData, bytes, 4);
FIELD(ImageData, width, 12);
FIELD(ImageData, height, 16);
FIELD(ImageData, stride, 20);
FIELD(ImageData, format, 24);

SIZE(QRCodeDetails, 53);
FIELD(QRCodeDetails, moduleSize, 0);
FIELD(QRCodeDetails, rows, 4);
FIELD(QRCodeDetails, columns, 8);
FIELD(QRCodeDetails, errorCorrectionLevel, 12);
FIELD(QRCodeDetails, version, 16);
FIELD(QRCodeDetails, model, 20);
FIELD(QRCodeDetails, mode, 24);
FIELD(QRCodeDetails, page, 28);
FIELD(QRCodeDetails, totalPage, 32);
FIELD(QRCodeDetails, parityData, 36);
FIELD(QRCodeDetails, reserved, 37);

SIZE(OneDCodeDetails, 72);
FIELD(OneDCodeDetails, moduleSize, 0);
FIELD(OneDCodeDetails, startCharsBytes, 4);
FIELD(OneDCodeDetails, checkDigitBytesLength, 36);
FIELD(OneDCodeDetails, startPatternRange, 40);
FIELD(OneDCodeDetails, reserved, 64);

SIZE(PDF417Details, 48);
FIELD(PDF417Details, moduleSize, 0);
FIELD(PDF417Details, reserved, 16);

SIZE(DataMatrixDetails, 56);
FIELD(DataMatrixDetails, moduleSize, 0);
FIELD(DataMatrixDetails, reserved, 24);

SIZE(AztecDetails, 48);
FIELD(AztecDetails, moduleSize, 0);
FIELD(AztecDetails, layerNumber, 12);
FIELD(AztecDetails, reserved, 16);

SIZE(Quadrilateral, 32);
FIELD(Quadrilateral, points, 0);

SIZE(IntermediateResultArray, 12);
FIELD(IntermediateResultArray, resultsCount, 0);
FIELD(IntermediateResultArray, results, 4);

SIZE(Contour, 12);
FIELD(Contour, pointsCount, 0);
FIELD(Contour, points, 4);

SIZE(LineSegment, 24);
FIELD(LineSegment, startPoint, 0);
FIELD(LineSegment, endPoint, 8);
FIELD(LineSegment, linesConfidenceCoefficients, 16);

SIZE(RegionOfInterest, 20);
FIELD(RegionOfInterest, roiId, 0);
FIELD(RegionOfInterest, point, 4);
FIELD(RegionOfInterest, width, 12);
FIELD(RegionOfInterest, height, 16);

SIZE(InstancePoolStatus, 16);
FIELD(InstancePoolStatus, authorizedInstancesCount, 0);
FIELD(InstancePoolStatus, remainingInstancesCount, 4);
FIELD(InstancePoolStatus, waitingCreationInstances, 8);
FIELD(InstancePoolStatus, totalWaitOccurrences, 12);

SIZE(DBRPoint, 8);
FIELD(DBRPoint, x, 0);
FIELD(DBRPoint, y, 4);

SIZE(BarcodeFormat, 4);
SIZE(BarcodeFormat_2, 4);
SIZE(ImagePixelFormat, 4);
SIZE(BOOL, 1);
SIZE(HANDLE, sizeof(void *));
static_assert(DBRERR_FILE_NOT_FOUND == -10005 && DBRERR_DOTCODE_LICENSE_INVALID == -10061, "errors of reading");
static_assert(DMERR_NO_LICENSE == -20000 && DMERR_FAILED_TO_REACH_DLS == -20200, "errors of licensing");
static_assert(DMERR_FAILED_TO_REACH_LTS == -20200 && DMERR_LICENSE_CACHE_USED == -20012, "errors of licensing");
static_assert(DBRERR_IMAGE_ORIENTATION_INVALID == -10063, "an error of reading");
static_assert(BF2_ALL == -1, "BF2_ALL");
static_assert(static_cast<DM_LTSConnectionParameters *>(NULL) == static_cast<DM_DLSConnectionParameters *>(NULL),
              "two names of one type");
// Tags that programs use.
static_assert(sizeof(struct tagTextResult) == sizeof(TextResult), "tag");
static_assert(sizeof(struct tagPublicRuntimeSettings) == sizeof(PublicRuntimeSettings), "tag");
static_assert(sizeof(struct tagFrameDecodingParameters) == sizeof(FrameDecodingParameters), "tag");
static_assert(sizeof(struct tagIntermediateResultArray) == sizeof(IntermediateResultArray), "tag");
static_assert(sizeof(struct tagDBRPoint) == sizeof(DM_Point), "tag");

#define VALUE(name, value) static_assert(name == value, #name)

// ImagePixelFormat
VALUE(IPF_BINARY, 0);
VALUE(IPF_BINARYINVERTED, 1);
VALUE(IPF_GRAYSCALED, 2);
VALUE(IPF_NV21, 3);
VALUE(IPF_RGB_565, 4);
VALUE(IPF_RGB_555, 5);
VALUE(IPF_RGB_888, 6);
VALUE(IPF_ARGB_8888, 7);
VALUE(IPF_RGB_161616, 8);
VALUE(IPF_ARGB_16161616, 9);
VALUE(IPF_ABGR_8888, 10);
VALUE(IPF_ABGR_16161616, 11);
VALUE(IPF_BGR_888, 12);

// BinarizationMode
VALUE(BM_AUTO, 0x01);
VALUE(BM_LOCAL_BLOCK, 0x02);
VALUE(BM_THRESHOLD, 0x04);
VALUE(BM_REV, -2147483647 - 1);
VALUE(BM_SKIP, 0x00);

// ScaleUpMode
VALUE(SUM_AUTO, 0x01);
VALUE(SUM_LINEAR_INTERPOLATION, 0x02);
VALUE(SUM_NEAREST_NEIGHBOUR_INTERPOLATION, 0x04);
VALUE(SUM_REV, -2147483647 - 1);
VALUE(SUM_SKIP, 0x00);

// RegionPredetectionMode
VALUE(RPM_AUTO, 0x01);
VALUE(RPM_GENERAL, 0x02);
VALUE(RPM_GENERAL_RGB_CONTRAST, 0x04);
VALUE(RPM_GENERAL_GRAY_CONTRAST, 0x08);
VALUE(RPM_GENERAL_HSV_CONTRAST, 0x10);
VALUE(RPM_REV, -2147483647 - 1);
VALUE(RPM_SKIP, 0x00);

// BarcodeFormat
VALUE(BF_ALL, -31457281);
VALUE(BF_ONED, 0x001007FF);
VALUE(BF_GS1_DATABAR, 0x0003F800);
VALUE(BF_CODE_39, 0x1);
VALUE(BF_CODE_128, 0x2);
VALUE(BF_CODE_93, 0x4);
VALUE(BF_CODABAR, 0x8);
VALUE(BF_ITF, 0x10);
VALUE(BF_EAN_13, 0x20);
VALUE(BF_EAN_8, 0x40);
VALUE(BF_UPC_A, 0x80);
VALUE(BF_UPC_E, 0x100);
VALUE(BF_INDUSTRIAL_25, 0x200);
VALUE(BF_CODE_39_EXTENDED, 0x400);
VALUE(BF_GS1_DATABAR_OMNIDIRECTIONAL, 0x800);
VALUE(BF_GS1_DATABAR_TRUNCATED, 0x1000);
VALUE(BF_GS1_DATABAR_STACKED, 0x2000);
VALUE(BF_GS1_DATABAR_STACKED_OMNIDIRECTIONAL, 0x4000);
VALUE(BF_GS1_DATABAR_EXPANDED, 0x8000);
VALUE(BF_GS1_DATABAR_EXPANDED_STACKED, 0x10000);
VALUE(BF_GS1_DATABAR_LIMITED, 0x20000);
VALUE(BF_PATCHCODE, 0x00040000);
VALUE(BF_PDF417, 0x02000000);
VALUE(BF_QR_CODE, 0x04000000);
VALUE(BF_DATAMATRIX, 0x08000000);
VALUE(BF_AZTEC, 0x10000000);
VALUE(BF_MAXICODE, 0x20000000);
VALUE(BF_MICRO_QR, 0x40000000);
VALUE(BF_MICRO_PDF417, 0x00080000);
VALUE(BF_GS1_COMPOSITE, -2147483647 - 1);
VALUE(BF_MSI_CODE, 0x100000);
VALUE(BF_NULL, 0x00);

// BarcodeFormat_2
VALUE(BF2_NULL, 0x00);
VALUE(BF2_POSTALCODE, 0x01F00000);
VALUE(BF2_NONSTANDARD_BARCODE, 0x01);
VALUE(BF2_USPSINTELLIGENTMAIL, 0x00100000);
VALUE(BF2_POSTNET, 0x00200000);
VALUE(BF2_PLANET, 0x00400000);
VALUE(BF2_AUSTRALIANPOST, 0x00800000);
VALUE(BF2_RM4SCC, 0x01000000);
VALUE(BF2_DOTCODE, 0x02);

// ColorConversionMode
VALUE(CICM_GENERAL, 0x01);
VALUE(CICM_REV, -2147483647 - 1);
VALUE(CICM_SKIP, 0x00);

// TextureDetectionMode
VALUE(TDM_AUTO, 0x01);
VALUE(TDM_GENERAL_WIDTH_CONCENTRATION, 0x02);
VALUE(TDM_REV, -2147483647 - 1);
VALUE(TDM_SKIP, 0x00);

// GrayscaleTransformationMode
VALUE(GTM_INVERTED, 0x01);
VALUE(GTM_ORIGINAL, 0x02);
VALUE(GTM_REV, -2147483647 - 1);
VALUE(GTM_SKIP, 0x00);

// PDFReadingMode
VALUE(PDFRM_AUTO, 0x01);
VALUE(PDFRM_VECTOR, 0x02);
VALUE(PDFRM_RASTER, 0x04);
VALUE(PDFRM_REV, -2147483647 - 1);

// ImagePreprocessingMode
VALUE(IPM_AUTO, 0x01);
VALUE(IPM_GENERAL, 0x02);
VALUE(IPM_GRAY_EQUALIZE, 0x04);
VALUE(IPM_GRAY_SMOOTH, 0x08);
VALUE(IPM_SHARPEN_SMOOTH, 0x10);
VALUE(IPM_MORPHOLOGY, 0x20);
VALUE(IPM_REV, -2147483647 - 1);
VALUE(IPM_SKIP, 0x00);

// BarcodeComplementMode
VALUE(BCM_AUTO, 0x01);
VALUE(BCM_GENERAL, 0x02);
VALUE(BCM_REV, -2147483647 - 1);
VALUE(BCM_SKIP, 0x00);

// BarcodeColorMode
VALUE(BICM_DARK_ON_LIGHT, 0x01);
VALUE(BICM_LIGHT_ON_DARK, 0x02);
VALUE(BICM_DARK_ON_DARK, 0x04);
VALUE(BICM_LIGHT_ON_LIGHT, 0x08);
VALUE(BICM_DARK_LIGHT_MIXED, 0x10);
VALUE(BICM_DARK_ON_LIGHT_DARK_SURROUNDING, 0x20);
VALUE(BICM_REV, -2147483647 - 1);
VALUE(BICM_SKIP, 0x00);

// ColorClusteringMode
VALUE(CCM_AUTO, 0x00000001);
VALUE(CCM_GENERAL_HSV, 0x00000002);
VALUE(CCM_REV, -2147483647 - 1);
VALUE(CCM_SKIP, 0x00);

// DPMCodeReadingMode
VALUE(DPMCRM_AUTO, 0x01);
VALUE(DPMCRM_GENERAL, 0x02);
VALUE(DPMCRM_REV, -2147483647 - 1);
VALUE(DPMCRM_SKIP, 0x00);

// ConflictMode
VALUE(CM_IGNORE, 1);
VALUE(CM_OVERWRITE, 2);

// IntermediateResultType
VALUE(IRT_NO_RESULT, 0x00000000);
VALUE(IRT_ORIGINAL_IMAGE, 0x00000001);
VALUE(IRT_COLOUR_CLUSTERED_IMAGE, 0x00000002);
VALUE(IRT_COLOUR_CONVERTED_GRAYSCALE_IMAGE, 0x00000004);
VALUE(IRT_TRANSFORMED_GRAYSCALE_IMAGE, 0x00000008);
VALUE(IRT_PREDETECTED_REGION, 0x00000010);
VALUE(IRT_PREPROCESSED_IMAGE, 0x00000020);
VALUE(IRT_BINARIZED_IMAGE, 0x00000040);
VALUE(IRT_TEXT_ZONE, 0x00000080);
VALUE(IRT_CONTOUR, 0x00000100);
VALUE(IRT_LINE_SEGMENT, 0x00000200);
VALUE(IRT_FORM, 0x00000400);
VALUE(IRT_SEGMENTATION_BLOCK, 0x00000800);
VALUE(IRT_TYPED_BARCODE_ZONE, 0x00001000);
VALUE(IRT_PREDETECTED_QUADRILATERAL, 0x00002000);

// LocalizationMode
VALUE(LM_AUTO, 0x01);
VALUE(LM_CONNECTED_BLOCKS, 0x02);
VALUE(LM_STATISTICS, 0x04);
VALUE(LM_LINES, 0x08);
VALUE(LM_SCAN_DIRECTLY, 0x10);
VALUE(LM_STATISTICS_MARKS, 0x20);
VALUE(LM_STATISTICS_POSTAL_CODE, 0x40);
VALUE(LM_CENTRE, 0x80);
VALUE(LM_ONED_FAST_SCAN, 0x100);
VALUE(LM_REV, -2147483647 - 1);
VALUE(LM_SKIP, 0x00);

// MirrorMode
VALUE(MM_NORMAL, 0x01);
VALUE(MM_MIRROR, 0x02);
VALUE(MM_BOTH, 0x04);

// QRCodeErrorCorrectionLevel
VALUE(QRECL_ERROR_CORRECTION_H, 0);
VALUE(QRECL_ERROR_CORRECTION_L, 1);
VALUE(QRECL_ERROR_CORRECTION_M, 2);
VALUE(QRECL_ERROR_CORRECTION_Q, 3);

// DeformationResistingMode
VALUE(DRM_AUTO, 0x01);
VALUE(DRM_GENERAL, 0x02);
VALUE(DRM_BROAD_WARP, 0x04);
VALUE(DRM_LOCAL_REFERENCE, 0x08);
VALUE(DRM_DEWRINKLE, 0x10);
VALUE(DRM_REV, -2147483647 - 1);
VALUE(DRM_SKIP, 0x00);

// PartitionMode
VALUE(PM_WHOLE_BARCODE, 0x01);
VALUE(PM_ALIGNMENT_PARTITION, 0x02);

// ResultType
VALUE(RT_STANDARD_TEXT, 0);
VALUE(RT_RAW_TEXT, 1);
VALUE(RT_CANDIDATE_TEXT, 2);
VALUE(RT_PARTIAL_TEXT, 3);

// TerminatePhase
VALUE(TP_REGION_PREDETECTED, 0x00000001);
VALUE(TP_IMAGE_PREPROCESSED, 0x00000002);
VALUE(TP_IMAGE_BINARIZED, 0x00000004);
VALUE(TP_BARCODE_LOCALIZED, 0x00000008);
VALUE(TP_BARCODE_TYPE_DETERMINED, 0x00000010);
VALUE(TP_BARCODE_RECOGNIZED, 0x00000020);

// TextAssistedCorrectionMode
VALUE(TACM_AUTO, 0x01);
VALUE(TACM_VERIFYING, 0x02);
VALUE(TACM_VERIFYING_PATCHING, 0x04);
VALUE(TACM_REV, -2147483647 - 1);
VALUE(TACM_SKIP, 0x00);

// TextFilterMode
VALUE(TFM_AUTO, 0x01);
VALUE(TFM_GENERAL_CONTOUR, 0x02);
VALUE(TFM_REV, -2147483647 - 1);
VALUE(TFM_SKIP, 0x00);

// IntermediateResultSavingMode
VALUE(IRSM_MEMORY, 0x01);
VALUE(IRSM_FILESYSTEM, 0x02);
VALUE(IRSM_BOTH, 0x04);
VALUE(IRSM_REFERENCE_MEMORY, 0x08);

// TextResultOrderMode
VALUE(TROM_CONFIDENCE, 0x01);
VALUE(TROM_POSITION, 0x02);
VALUE(TROM_FORMAT, 0x04);
VALUE(TROM_REV, -2147483647 - 1);
VALUE(TROM_SKIP, 0x00);

// ResultCoordinateType
VALUE(RCT_PIXEL, 0x01);
VALUE(RCT_PERCENTAGE, 0x02);

// IMResultDataType
VALUE(IMRDT_IMAGE, 0x01);
VALUE(IMRDT_CONTOUR, 0x02);
VALUE(IMRDT_LINESEGMENT, 0x04);
VALUE(IMRDT_LOCALIZATIONRESULT, 0x08);
VALUE(IMRDT_REGIONOFINTEREST, 0x10);
VALUE(IMRDT_QUADRILATERAL, 0x20);
VALUE(IMRDT_REFERENCE, 0x40);

// AccompanyingTextRecognitionMode
VALUE(ATRM_GENERAL, 0x01);
VALUE(ATRM_REV, -2147483647 - 1);
VALUE(ATRM_SKIP, 0x00);

// ClarityCalculationMethod
VALUE(ECCM_CONTRAST, 0x01);

// ClarityFilterMode
VALUE(CFM_GENERAL, 0x01);

// DeblurMode
VALUE(DM_DIRECT_BINARIZATION, 0x01);
VALUE(DM_THRESHOLD_BINARIZATION, 0x02);
VALUE(DM_GRAY_EQUALIZATION, 0x04);
VALUE(DM_SMOOTHING, 0x08);
VALUE(DM_MORPHING, 0x10);
VALUE(DM_DEEP_ANALYSIS, 0x20);
VALUE(DM_SHARPENING, 0x40);
VALUE(DM_BASED_ON_LOC_BIN, 0x80);
VALUE(DM_SHARPENING_SMOOTHING, 0x100);
VALUE(DM_REV, -2147483647 - 1);
VALUE(DM_SKIP, 0x00);

int main() { return 0; }
