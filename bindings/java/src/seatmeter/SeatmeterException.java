package seatmeter;

import java.nio.charset.StandardCharsets;
import java.util.List;

/** An error of the library: its number, and a sentence that says what to do. */
public class SeatmeterException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private static final int VALUE_INVALID = -10038;

  // Ranges of the header, for the messages about values that the library refuses.
  static final int BARCODES_MAX = 1_048_576;
  static final long COUNT_MAX = 4_294_967_295L;
  static final int FORGET_MS_MAX = 600_000;
  static final int PATH_BYTES_MAX = 4_095;
  static final int SETTING_BYTES_MAX = 512;

  private final int code;

  /** This is an array, because exceptions can be serialized, and a List may not be. */
  private Seatmeter.Decoded[] results = {};

  SeatmeterException(int code, String message) {
    super(Words.inJava(message.isEmpty() ? Library.INSTANCE.SM_GetErrorString(code) : message));
    this.code = code;
  }

  /** The negative number, as in seatmeter.h. */
  public int code() {
    return code;
  }

  /**
   * Returns the barcodes that {@link Seatmeter#decodeFile} found before it failed. They are counted.
   * With an error of the license their text is masked with *, and they are not counted. For an
   * error of any other method the list is empty.
   */
  public List<Seatmeter.Decoded> results() {
    return List.of(results);
  }

  /** There is no license (yet). */
  public static final class NoLicense extends SeatmeterException {
    private static final long serialVersionUID = 1;

    NoLicense(int code, String message) {
      super(code, message);
    }
  }

  /** All seats of this device are in use, or the request was for more than the device has. */
  public static final class AllSeatsTaken extends SeatmeterException {
    private static final long serialVersionUID = 1;

    AllSeatsTaken(int code, String message) {
      super(code, message);
    }
  }

  /** The license server has refused, or the license is used up or has expired. */
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

  /** Throws the exception for a number of the library, unless it is 0. */
  static void check(int code, byte[] message) {
    if (code != 0) {
      throw of(code, Library.text(message));
    }
  }

  /** Throws likewise, with the results that came with the number. */
  static void check(int code, List<Seatmeter.Decoded> results) {
    if (code != 0) {
      SeatmeterException e = of(code, "");
      e.results = results.toArray(e.results);
      throw e;
    }
  }

  /** Throws an exception that names value and range, if the library has refused the value. */
  static void checkRange(int code, String name, long value, long least, long most) {
    if (code == VALUE_INVALID && (value < least || value > most)) {
      throw new SeatmeterException(code, name + " is " + value + "; it must be from " + least + " to " + most);
    }
  }

  /** Throws likewise for the length of a text. */
  static void checkLength(int code, String name, String value, int least, int most) {
    int length = value.getBytes(StandardCharsets.UTF_8).length;
    checkRange(code, "the length of " + name + " in bytes", length, least, most);
  }

  private static SeatmeterException of(int code, String text) {
    if (code == -20000) {
      return new NoLicense(code, text);
    } else if (code == -20008) {
      return new AllSeatsTaken(code, text);
    } else if (code == -20200) {
      return new ServerUnreachable(code, text);
    } else if (code <= -20100 && code > -20200) {
      return new Refused(code, text);
    }
    return new SeatmeterException(code, text);
  }

  static void check(int code) {
    check(code, new byte[0]);
  }
}
