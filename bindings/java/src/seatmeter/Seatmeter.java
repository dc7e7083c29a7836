package seatmeter;

import com.sun.jna.NativeLong;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.NativeLongByReference;
import com.sun.jna.ptr.PointerByReference;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/** Seats, scans, pages and devices, counted without loss: licenses, and everything that needs no reader. */
public final class Seatmeter {
  /** The callback that the library calls with each line; it is in use until another one is set. */
  private static Library.LogCallback logCallback;

  private Seatmeter() {}

  /** Where the program runs, and for whom. */
  public enum DeploymentType {
    SERVER(1),
    DESKTOP(2),
    EMBEDDED(6),
    OEM(7),
    MOBILE(9);

    private final int number;

    DeploymentType(int number) {
      this.number = number;
    }
  }

  /** The unit by which the license is charged; AUTO lets the server choose. */
  public enum ChargeWay {
    AUTO(0),
    CLIENT_DEVICE(1),
    BARCODE_SCAN(2),
    CONCURRENT_DEVICE(3),
    DOMAIN(6),
    ACTIVE_DEVICE(8),
    SERVER(9),
    CONCURRENT_INSTANCE(10),
    PAGE(20);

    private final int number;

    ChargeWay(int number) {
      this.number = number;
    }
  }

  /** The purpose for which pages are counted. */
  public enum PageModule {
    CORE,
    WEBCAM,
    PDFR,
    OCR
  }

  /** A fact about the application that a handshake code may ask for. */
  public enum ValidationField {
    WEBSITE_DOMAIN,
    APPLICATION_ID
  }

  /** The importance of a line of the log. */
  public enum LogLevel {
    ERROR,
    WARNING,
    INFO
  }

  /** Gets the lines of the log. */
  public interface Log {
    /** Is called by any thread. JNA's handler of exceptions in callbacks gets what it throws. */
    void hear(LogLevel level, String line);
  }

  /** A process that holds seats of this device; since when, in Unix seconds. */
  public record Holder(int seats, int pid, long since, String name) {}

  /** How to reach the license server, and what to ask it for. */
  public static final class Parameters {
    private final Library.Parameters raw = new Library.Parameters();

    public Parameters() {
      SeatmeterException.check(Library.INSTANCE.InitDLSConnectionParameters(raw));
    }

    public Parameters server(String url) {
      raw.mainServer = Library.checked("server", url);
      return this;
    }

    public Parameters standbyServer(String url) {
      raw.standbyServer = Library.checked("standbyServer", url);
      return this;
    }

    public Parameters handshakeCode(String code) {
      raw.handshakeCode = Library.checked("handshakeCode", code);
      return this;
    }

    public Parameters sessionPassword(String password) {
      raw.sessionPassword = Library.checked("sessionPassword", password);
      return this;
    }

    public Parameters organizationId(String id) {
      raw.organizationId = Library.checked("organizationId", id);
      return this;
    }

    public Parameters deploymentType(DeploymentType type) {
      raw.deploymentType = type.number;
      return this;
    }

    public Parameters chargeWay(ChargeWay way) {
      raw.chargeWay = way.number;
      return this;
    }

    /** Seats to ask for, 1 to 65536. */
    public Parameters seats(int n) {
      raw.seats = n;
      return this;
    }

    /** Days for which to work without contact. */
    public Parameters maxBufferDays(int days) {
      raw.maxBufferDays = days;
      return this;
    }
  }

  /** The state of this process's license; seatmeter.h explains each number. */
  public record Status(
      int state,
      int chargeWay,
      int cacheCode,
      int trialCode,
      int expiryCode,
      int refusalCode,
      int usage,
      int usageModule,
      int seatsGranted,
      int seatsHeld,
      int seatsIdle,
      long validUntil,
      long expiresAt,
      long graceEndsAt,
      long oldestUnsentAt,
      long used,
      long quota,
      long grace,
      long toldAt,
      long contactAt,
      long lastErrorAt,
      int lastErrorCode,
      int lastErrorStage,
      String lastError,
      String server,
      int rootKeysBuiltIn,
      boolean rootKeyIsOfFirstAnswer,
      String rootKeyIds) {}

  /**
   * A barcode that the library has read. The text ends at the first NUL of the content; the bytes are
   * the whole content, also where it is no text.
   */
  public record Decoded(String format, String text, byte[] bytes) implements Serializable {
    @Override
    public boolean equals(Object other) {
      return other instanceof Decoded that
          && format.equals(that.format)
          && text.equals(that.text)
          && Arrays.equals(bytes, that.bytes);
    }

    @Override
    public int hashCode() {
      return Objects.hash(format, text, Arrays.hashCode(bytes));
    }
  }

  /** Chooses where this device's state is kept, before {@link #initialize}. */
  public static void setStateDirectory(String path) {
    int code = Library.INSTANCE.SM_SetStateDirectory(Library.checked("path", path));
    SeatmeterException.checkLength(code, "path", path, 1, SeatmeterException.PATH_BYTES_MAX);
    SeatmeterException.check(code);
  }

  /** Tells the server a fact about this application, before {@link #initialize}. An empty text removes it. */
  public static void setValidationField(ValidationField field, String value) {
    int code = Library.INSTANCE.SM_SetValidationField(field.ordinal(), Library.checked("value", value));
    SeatmeterException.checkLength(code, "value", value, 0, SeatmeterException.SETTING_BYTES_MAX);
    SeatmeterException.check(code);
  }

  /** Gives this device a name by which people know it on the server, before {@link #initialize}. */
  public static void setDeviceFriendlyName(String name) {
    int code = Library.INSTANCE.SM_SetDeviceFriendlyName(Library.checked("name", name));
    SeatmeterException.checkLength(code, "name", name, 0, SeatmeterException.SETTING_BYTES_MAX);
    SeatmeterException.check(code);
  }

  /** Trusts the certificates in this PEM file, besides the system's, before the first {@link #initialize}. */
  public static void setCaFile(String path) {
    int code = Library.INSTANCE.SM_SetCaFile(Library.checked("path", path));
    SeatmeterException.checkLength(code, "path", path, 1, SeatmeterException.PATH_BYTES_MAX);
    SeatmeterException.check(code);
  }

  /** The client UUID by which the server knows this device: 32 hexadecimal digits. */
  public static String deviceUuid() {
    byte[] out = new byte[33];
    SeatmeterException.check(Library.INSTANCE.SM_GetDeviceUUID(out, new NativeLong(out.length)));
    return Library.text(out);
  }

  /** Sets an object that gets the lines of the log; null removes it. */
  public static synchronized void setLog(Log log) {
    LogLevel[] levels = LogLevel.values();
    Library.LogCallback next = log == null ? null : (user, level, line) -> log.hear(levels[level - 1], line);
    SeatmeterException.check(Library.INSTANCE.SM_SetLogCallback(next, null));
    // The previous one is not in use any more, so it may be collected.
    logCallback = next;
  }

  /** The processes that hold seats of this device, those of other programs among them. */
  public static List<Holder> holders() {
    NativeLongByReference count = new NativeLongByReference();
    // Another process may take its first seat between two calls. Mostly the first call has room for all.
    for (int capacity = 64; ; ) {
      Library.RawHolder[] raw = (Library.RawHolder[]) new Library.RawHolder().toArray(capacity);
      SeatmeterException.check(Library.INSTANCE.SM_ListHolders(raw, new NativeLong(capacity), count));
      int found = count.getValue().intValue();
      if (found <= capacity) {
        return Arrays.stream(raw, 0, found)
            .map(one -> new Holder(one.seats, one.pid, one.since, Library.text(one.name)))
            .toList();
      }
      capacity = found * 2;
    }
  }

  /** Gets this process licensed. Without a stored license it waits for the server, 10 s at most. */
  public static void initialize(Parameters parameters) {
    byte[] message = new byte[Library.TEXT_BYTES];
    SeatmeterException.check(Library.INSTANCE.InitLicenseFromDLS(parameters.raw, message, message.length), message);
  }

  /** Free seats of this device; -1 when the license has to be refreshed; MAX_VALUE without a limit. */
  public static int idleCount() {
    return Library.INSTANCE.GetIdleInstancesCount();
  }

  /** Returns the state of this process's license. */
  public static Status status() {
    Library.RawStatus now = new Library.RawStatus();
    now.size = new NativeLong(now.size());
    SeatmeterException.check(Library.INSTANCE.SM_GetStatus(now));
    return new Status(
        now.state, now.chargeWay, now.cacheCode, now.trialCode, now.expiryCode, now.refusalCode, now.usage,
        now.usageModule, now.seatsGranted, now.seatsHeld, now.seatsIdle, now.validUntil, now.expiresAt,
        now.graceEndsAt, now.oldestUnsentAt, now.used, now.quota, now.grace, now.toldAt, now.contactAt,
        now.lastErrorAt, now.lastErrorCode, now.lastErrorStage, Words.inJava(Library.text(now.lastError)),
        Library.text(now.server), now.rootKeysBuiltIn, now.rootKeyIsOfFirstAnswer != 0,
        Library.text(now.rootKeyIds));
  }

  /**
   * Reads the barcodes of a picture, and counts them. Holds a seat meanwhile.
   *
   * <p>A file may give barcodes and an error, for example a PNG that is cut in its middle. The
   * barcodes are counted, and {@link SeatmeterException#results} has them.
   */
  public static List<Decoded> decodeFile(String path) {
    Library.checked("path", path);
    Pointer instance = Library.INSTANCE.DBR_CreateInstance();
    PointerByReference results = new PointerByReference();
    try {
      int code = Library.INSTANCE.DBR_DecodeFile(instance, path, "");
      // Read the results also after an error: barcodes that were found before it are counted.
      SeatmeterException.check(Library.INSTANCE.DBR_GetAllTextResults(instance, results));
      // TextResultArray and TextResult are packed: count, results; format, name, format, name, text, bytes, length.
      int count = results.getValue().getInt(0);
      List<Decoded> found = new ArrayList<>();
      for (int i = 0; i < count; i++) {
        Pointer one = results.getValue().getPointer(4).getPointer((long) i * Long.BYTES);
        String name = one.getPointer(4).getString(0, "UTF-8");
        // One of the two names is empty.
        String format = name.isEmpty() ? one.getPointer(16).getString(0, "UTF-8") : name;
        byte[] bytes = one.getPointer(32).getByteArray(0, one.getInt(40));
        found.add(new Decoded(format, one.getPointer(24).getString(0, "UTF-8"), bytes));
      }
      SeatmeterException.check(code, found);
      return found;
    } finally {
      Library.INSTANCE.DBR_FreeTextResults(results);
      Library.INSTANCE.DBR_DestroyInstance(instance);
    }
  }

  /** Counts pages of a module. */
  public static void countPages(PageModule module, long n) {
    int code = Library.INSTANCE.SM_CountPages(module.ordinal() + 1, n);
    SeatmeterException.checkRange(code, "n", n, 0, SeatmeterException.COUNT_MAX);
    SeatmeterException.check(code);
  }

  /** Reports and renews now. */
  public static void sync(int timeoutMs) {
    byte[] message = new byte[Library.TEXT_BYTES];
    SeatmeterException.check(Library.INSTANCE.SM_Sync(timeoutMs, message, new NativeLong(message.length)), message);
  }

  /** Reports the rest, and gives everything back. The next program reports what cannot be reported now. */
  public static void shutdown(int timeoutMs) {
    SeatmeterException.check(Library.INSTANCE.SM_Shutdown(timeoutMs));
  }

  /** The version of the library. */
  public static String version() {
    return Library.INSTANCE.SM_GetVersion();
  }
}
