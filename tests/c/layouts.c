/* seatmeter.h alone: the layout of the connection parameters, and that the library agrees with the header. */
#include "check.h"
#include "seatmeter.h"

#define OFFSET(field, bytes) CHECK_INT(bytes, offsetof(DM_DLSConnectionParameters, field))

int main(void) {
  DM_DLSConnectionParameters parameters;
  int i;
  CHECK_INT(128, sizeof parameters);
  OFFSET(mainServerURL, 0);
  OFFSET(standbyServerURL, 8);
  OFFSET(handshakeCode, 16);
  OFFSET(sessionPassword, 24);
  OFFSET(deploymentType, 32);
  OFFSET(chargeWay, 36);
  OFFSET(UUIDGenerationMethod, 40);
  OFFSET(maxBufferDays, 44);
  OFFSET(limitedLicenseModulesCount, 48);
  OFFSET(limitedLicenseModules, 52);
  OFFSET(maxConcurrentInstanceCount, 60);
  OFFSET(organizationID, 64);
  OFFSET(products, 72);
  OFFSET(reserved, 76);

  /* Every byte is set, and to the default. */
  memset(&parameters, 0x55, sizeof parameters);
  CHECK_INT(0, InitDLSConnectionParameters(&parameters));
  CHECK_INT(0, strlen(parameters.mainServerURL) + strlen(parameters.standbyServerURL));
  CHECK_INT(0, strlen(parameters.handshakeCode) + strlen(parameters.sessionPassword));
  CHECK_INT(0, strlen(parameters.organizationID));
  CHECK_INT(2, parameters.deploymentType);
  CHECK_INT(0, parameters.chargeWay);
  CHECK_INT(1, parameters.UUIDGenerationMethod);
  CHECK_INT(7, parameters.maxBufferDays);
  CHECK_INT(0, parameters.limitedLicenseModulesCount);
  CHECK(parameters.limitedLicenseModules == NULL);
  CHECK_INT(1, parameters.maxConcurrentInstanceCount);
  CHECK_INT(0xffff, parameters.products);
  for (i = 0; i < 52; i++) CHECK_INT(0, parameters.reserved[i]);
  return 0;
}
