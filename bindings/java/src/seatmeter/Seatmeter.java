package seatmeter;

import com.sun.jna.NativeLong;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.PointerByReference;
import java.util.ArrayList;
import java.util.List;

/** Seats, scans, pages and devices, counted without loss: being licensed, and what needs no reader. */
public final class Seatmeter {
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

  /** By what the licence is charged; AUTO lets the server choose. */
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

  /** What pages are counted for. */
  public enum PageModule {
    CORE,
    WEBCAM,
    PDFR,
    OCR
  }

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

  /** How this process stands with its licence; seatmeter.h tells what each number means. */
  public record Status(
      int state,
      int usage,
      int seatsGranted,
      int seatsHeld,
      int seatsIdle,
      long validUntil,
      long expiresAt,
      long used,
      long quota,
      long grace,
      int refusalCode,
      int lastErrorCode,
      String lastError) {}

  /** A barcode that the library has read. */
  public record Decoded(String format, String text) {}

  /** Chooses where this device's state is kept, before {@link #initialize}. */
  public static void setStateDirectory(String path) {
    SeatmeterException.check(Library.INSTANCE.SM_SetStateDirectory(Library.checked("path", path)));
  }

  /** Gets this process licensed. Without a stored licence it waits for the server, 10 s at most. */
  public static void initialize(Parameters parameters) {
    byte[] message = new byte[Library.TEXT_BYTES];
    SeatmeterException.check(Library.INSTANCE.InitLicenseFromDLS(parameters.raw, message, message.length), message);
  }

  /** Free seats of this device; -1 when the licence has to be refreshed; MAX_VALUE without a limit. */
  public static int idleCount() {
    return Library.INSTANCE.GetIdleInstancesCount();
  }

  /** How this process stands with its licence. */
  public static Status status() {
    Library.RawStatus now = new Library.RawStatus();
    now.size = new NativeLong(now.size());
    SeatmeterException.check(Library.INSTANCE.SM_GetStatus(now));
    return new Status(
        now.state, now.usage, now.seatsGranted, now.seatsHeld, now.seatsIdle, now.validUntil, now.expiresAt,
        now.used, now.quota, now.grace, now.refusalCode, now.lastErrorCode, Library.text(now.lastError));
  }

  /** Reads the barcodes of a picture, and counts them. Takes a seat meanwhile. */
  public static List<Decoded> decodeFile(String path) {
    Library.checked("path", path);
    Pointer instance = Library.INSTANCE.DBR_CreateInstance();
    PointerByReference results = new PointerByReference();
    try {
      SeatmeterException.check(Library.INSTANCE.DBR_DecodeFile(instance, path, ""));
      SeatmeterException.check(Library.INSTANCE.DBR_GetAllTextResults(instance, results));
      // TextResultArray and TextResult are packed: count, results; format, name, format, name, text.
      int count = results.getValue().getInt(0);
      List<Decoded> found = new ArrayList<>();
      for (int i = 0; i < count; i++) {
        Pointer one = results.getValue().getPointer(4).getPointer((long) i * Long.BYTES);
        found.add(new Decoded(one.getPointer(4).getString(0, "UTF-8"), one.getPointer(24).getString(0, "UTF-8")));
      }
      return found;
    } finally {
      Library.INSTANCE.DBR_FreeTextResults(results);
      Library.INSTANCE.DBR_DestroyInstance(instance);
    }
  }

  /** Counts pages of a module. */
  public static void countPages(PageModule module, long n) {
    SeatmeterException.check(Library.INSTANCE.SM_CountPages(module.ordinal() + 1, n));
  }

  /** Reports and renews now. */
  public static void sync(int timeoutMs) {
    byte[] message = new byte[Library.TEXT_BYTES];
    SeatmeterException.check(Library.INSTANCE.SM_Sync(timeoutMs, message, new NativeLong(message.length)), message);
  }

  /** Reports the rest, and gives back everything. What cannot be reported now, the next program reports. */
  public static void shutdown(int timeoutMs) {
    SeatmeterException.check(Library.INSTANCE.SM_Shutdown(timeoutMs));
  }

  /** The version of the library. */
  public static String version() {
    return Library.INSTANCE.SM_GetVersion();
  }
}
