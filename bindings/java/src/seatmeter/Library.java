package seatmeter;

import com.sun.jna.Callback;
import com.sun.jna.Native;
import com.sun.jna.NativeLong;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import com.sun.jna.ptr.NativeLongByReference;
import com.sun.jna.ptr.PointerByReference;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** The shared library, and the layouts of its structures. */
interface Library extends com.sun.jna.Library {
  int TEXT_BYTES = 512;

  Library INSTANCE = load();

  private static Library load() {
    String path = System.getenv("SEATMETER_LIBRARY");
    Map<String, Object> options = Map.of(com.sun.jna.Library.OPTION_STRING_ENCODING, "UTF-8");
    try {
      return Native.load(path == null ? "seatmeter" : path, Library.class, options);
    } catch (UnsatisfiedLinkError e) {
      UnsatisfiedLinkError error =
          new UnsatisfiedLinkError(
              "the seatmeter library cannot be loaded. Set the environment variable SEATMETER_LIBRARY to the path of"
                  + " libseatmeter.so, or install the library where the system's loader looks: "
                  + e.getMessage());
      error.initCause(e);
      throw error;
    }
  }

  /** Returns the text in a buffer, which ends with a zero. */
  static String text(byte[] bytes) {
    int length = 0;
    while (length < bytes.length && bytes[length] != 0) {
      length++;
    }
    return new String(bytes, 0, length, StandardCharsets.UTF_8);
  }

  /** A text for C, which would read it to its first NUL only. */
  static String checked(String name, String text) {
    if (text != null && text.indexOf('\0') >= 0) {
      throw new IllegalArgumentException(name + " must not contain a NUL");
    }
    return text;
  }

  /** {@code DM_DLSConnectionParameters}. */
  @Structure.FieldOrder({
    "mainServer", "standbyServer", "handshakeCode", "sessionPassword", "deploymentType", "chargeWay",
    "uuidGenerationMethod", "maxBufferDays", "moduleCount", "modules", "seats", "organizationId", "products",
    "reserved"
  })
  final class Parameters extends Structure {
    public String mainServer;
    public String standbyServer;
    public String handshakeCode;
    public String sessionPassword;
    public int deploymentType;
    public int chargeWay;
    public int uuidGenerationMethod;
    public int maxBufferDays;
    public int moduleCount;
    public Pointer modules;
    public int seats;
    public String organizationId;
    public int products;
    public byte[] reserved = new byte[52];

    Parameters() {
      super(ALIGN_NONE);
      setStringEncoding("UTF-8");
    }
  }

  /** {@code SM_Barcode}. */
  @Structure.FieldOrder({"format", "bytes", "length"})
  final class RawBarcode extends Structure {
    public int format;
    public Pointer bytes;
    public NativeLong length = new NativeLong();
  }

  /** {@code SM_Status}. */
  @Structure.FieldOrder({
    "size", "state", "chargeWay", "cacheCode", "trialCode", "expiryCode", "refusalCode", "usage", "usageModule",
    "seatsGranted", "seatsHeld", "seatsIdle", "validUntil", "expiresAt", "graceEndsAt", "oldestUnsentAt", "used",
    "quota", "grace", "toldAt", "contactAt", "lastErrorAt", "lastErrorCode", "lastErrorStage", "lastError", "server",
    "rootKeysBuiltIn", "rootKeyIsOfFirstAnswer", "rootKeyIds"
  })
  final class RawStatus extends Structure {
    public NativeLong size = new NativeLong();
    public int state;
    public int chargeWay;
    public int cacheCode;
    public int trialCode;
    public int expiryCode;
    public int refusalCode;
    public int usage;
    public int usageModule;
    public int seatsGranted;
    public int seatsHeld;
    public int seatsIdle;
    public long validUntil;
    public long expiresAt;
    public long graceEndsAt;
    public long oldestUnsentAt;
    public long used;
    public long quota;
    public long grace;
    public long toldAt;
    public long contactAt;
    public long lastErrorAt;
    public int lastErrorCode;
    public int lastErrorStage;
    public byte[] lastError = new byte[TEXT_BYTES];
    public byte[] server = new byte[TEXT_BYTES];
    public int rootKeysBuiltIn;
    public int rootKeyIsOfFirstAnswer;
    public byte[] rootKeyIds = new byte[TEXT_BYTES];
  }

  /** {@code SM_Holder}. */
  @Structure.FieldOrder({"seats", "pid", "since", "name"})
  final class RawHolder extends Structure {
    public int seats;
    public int pid;
    public long since;
    public byte[] name = new byte[64];
  }

  /** {@code SM_LogCallback}. */
  interface LogCallback extends Callback {
    void callback(Pointer user, int level, String line);
  }

  int InitDLSConnectionParameters(Parameters parameters);

  int InitLicenseFromDLS(Parameters parameters, byte[] message, int length);

  int GetIdleInstancesCount();

  int SM_SetStateDirectory(String path);

  int SM_SetValidationField(int field, String value);

  int SM_SetDeviceFriendlyName(String name);

  int SM_SetCaFile(String path);

  int SM_GetDeviceUUID(byte[] out, NativeLong length);

  int SM_SetLogCallback(LogCallback callback, Pointer user);

  int SM_ListHolders(RawHolder[] holders, NativeLong capacity, NativeLongByReference count);

  int SM_CreateReader(PointerByReference reader, byte[] detail, NativeLong length);

  int SM_CreateReaderWithin(PointerByReference reader, int ms, byte[] detail, NativeLong length);

  void SM_DestroyReader(Pointer reader);

  int SM_CountImage(Pointer reader, RawBarcode[] barcodes, NativeLong n, NativeLongByReference counted);

  int SM_CountFrame(Pointer reader, RawBarcode[] barcodes, NativeLong n, NativeLongByReference counted);

  int SM_CountScans(Pointer reader, int format, long n);

  int SM_SetDuplicateForgetTime(Pointer reader, int ms);

  int SM_CountPages(int module, long n);

  int SM_GetStatus(RawStatus status);

  int SM_Sync(int ms, byte[] detail, NativeLong length);

  int SM_Shutdown(int ms);

  String SM_GetErrorString(int code);

  String SM_GetVersion();

  Pointer DBR_CreateInstance();

  void DBR_DestroyInstance(Pointer instance);

  int DBR_DecodeFile(Pointer instance, String path, String template);

  int DBR_GetAllTextResults(Pointer instance, PointerByReference results);

  void DBR_FreeTextResults(PointerByReference results);
}
