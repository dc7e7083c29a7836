package seatmeter;

import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The words of this package for the names of C in messages of the library. */
final class Words {
  private static final Map<String, String> WORDS =
      Map.ofEntries(
          Map.entry("mainServerURL", "server"),
          Map.entry("standbyServerURL", "standbyServer"),
          Map.entry("handshakeCode", "handshakeCode"),
          Map.entry("sessionPassword", "sessionPassword"),
          Map.entry("deploymentType", "deploymentType"),
          Map.entry("chargeWay", "chargeWay"),
          Map.entry("UUIDGenerationMethod", "uuidGenerationMethod"),
          Map.entry("maxBufferDays", "maxBufferDays"),
          Map.entry("limitedLicenseModulesCount", "modules"),
          Map.entry("limitedLicenseModules", "modules"),
          Map.entry("maxConcurrentInstanceCount", "seats"),
          Map.entry("organizationID", "organizationId"),
          Map.entry("InitDLSConnectionParameters", "Parameters()"),
          Map.entry("InitLicenseFromDLS", "initialize()"),
          Map.entry("GetIdleInstancesCount", "idleCount()"),
          Map.entry("SM_SetStateDirectory", "setStateDirectory()"),
          Map.entry("SM_SetValidationField", "setValidationField()"),
          Map.entry("SM_SetDeviceFriendlyName", "setDeviceFriendlyName()"),
          Map.entry("SM_SetCaFile", "setCaFile()"),
          Map.entry("SM_GetDeviceUUID", "deviceUuid()"),
          Map.entry("SM_SetLogCallback", "setLog()"),
          Map.entry("SM_CreateReader", "new Reader()"),
          Map.entry("SM_CreateReaderWithin", "Reader.within()"),
          Map.entry("SM_DestroyReader", "close()"),
          Map.entry("SM_CountImage", "countImage()"),
          Map.entry("SM_CountFrame", "countFrame()"),
          Map.entry("SM_CountScans", "countScans()"),
          Map.entry("SM_SetDuplicateForgetTime", "setDuplicateForgetTime()"),
          Map.entry("SM_CountPages", "countPages()"),
          Map.entry("SM_ListHolders", "holders()"),
          Map.entry("SM_GetStatus", "status()"),
          Map.entry("SM_Sync", "sync()"),
          Map.entry("SM_Shutdown", "shutdown()"),
          Map.entry("SM_GetErrorString", "SeatmeterException"),
          Map.entry("SM_GetVersion", "version()"));

  private static final Pattern NAMES =
      Pattern.compile("\\b(" + String.join("|", WORDS.keySet()) + ")\\b(\\(\\))?");

  private Words() {}

  /** Returns the message with this package's names in place of those of the C API. */
  static String inJava(String message) {
    return NAMES.matcher(message).replaceAll(found -> Matcher.quoteReplacement(WORDS.get(found.group(1))));
  }
}
