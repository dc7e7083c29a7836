package seatmeter;

/** The library has said no: a number, and a sentence that says what to do. */
public class SeatmeterException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final int code;

  SeatmeterException(int code, String message) {
    super(Words.inJava(message.isEmpty() ? Library.INSTANCE.SM_GetErrorString(code) : message));
    this.code = code;
  }

  /** The negative number, as in seatmeter.h. */
  public int code() {
    return code;
  }

  /** There is no license (yet). */
  public static final class NoLicense extends SeatmeterException {
    private static final long serialVersionUID = 1;

    NoLicense(int code, String message) {
      super(code, message);
    }
  }

  /** All seats of this device are in use, or more were asked for than there are. */
  public static final class AllSeatsTaken extends SeatmeterException {
    private static final long serialVersionUID = 1;

    AllSeatsTaken(int code, String message) {
      super(code, message);
    }
  }

  /** The license server has refused, or what was bought is used up or has expired. */
  public static final class Refused extends SeatmeterException {
    private static final long serialVersionUID = 1;

    Refused(int code, String message) {
      super(code, message);
    }
  }

  /** No license server can be reached, and this device has no license that is good without one. */
  public static final class ServerUnreachable extends SeatmeterException {
    private static final long serialVersionUID = 1;

    ServerUnreachable(int code, String message) {
      super(code, message);
    }
  }

  /** Throws what a number of the library means, unless it is 0. */
  static void check(int code, byte[] message) {
    if (code == 0) {
      return;
    }
    String text = Library.text(message);
    if (code == -20000) {
      throw new NoLicense(code, text);
    } else if (code == -20008) {
      throw new AllSeatsTaken(code, text);
    } else if (code == -20200) {
      throw new ServerUnreachable(code, text);
    } else if (code <= -20100 && code > -20200) {
      throw new Refused(code, text);
    }
    throw new SeatmeterException(code, text);
  }

  static void check(int code) {
    check(code, new byte[0]);
  }
}
