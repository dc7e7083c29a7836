/*
 * Types that programs written for the DBR 8.x API share with the other parts of that family.
 *
 * Names, values and layouts are those that such programs expect; everything is implemented by libseatmeter.
 */
#ifndef SEATMETER_DYNAMSOFT_COMMON_H
#define SEATMETER_DYNAMSOFT_COMMON_H

/* Licence errors, -20000 and below. DBR_GetErrorString says what each means and what to do. */
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
#define DMERR_FAILED_TO_REACH_DLS -20200

/** Where the software runs. */
typedef enum DM_DeploymentType {
  DM_DT_SERVER = 1,
  DM_DT_DESKTOP = 2,
  DM_DT_EMBEDDED_DEVICE = 6,
  DM_DT_OEM = 7,
  DM_DT_MOBILE = 9
} DM_DeploymentType;

/** By what a licence is charged. */
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

/** Modules that a licence can cover. */
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

#endif
