package seatmeter;

import com.sun.jna.Memory;
import com.sun.jna.NativeLong;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.NativeLongByReference;
import com.sun.jna.ptr.PointerByReference;
import java.lang.ref.Cleaner;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToIntFunction;

/**
 * Holds a seat until it is closed; one that is lost gives it back when it is collected. Threads may share one, and any of
 * them may close it.
 */
public final class Reader implements AutoCloseable {
  private static final Cleaner CLEANER = Cleaner.create();

  /** A reader of the C API. A call holds its monitor, so that no thread destroys it meanwhile. */
  private static final class Seat implements Runnable {
    private Pointer handle;

    Seat(Pointer handle) {
      this.handle = handle;
    }

    synchronized void call(ToIntFunction<Pointer> function) {
      if (handle == null) {
        throw new IllegalStateException("the reader is closed");
      }
      SeatmeterException.check(function.applyAsInt(handle));
    }

    @Override
    public synchronized void run() {
      Library.INSTANCE.SM_DestroyReader(handle);
      handle = null;
    }
  }

  private final Seat seat;
  private final Cleaner.Cleanable closing;

  /** Takes a seat. */
  public Reader() {
    this(create(-1));
  }

  private Reader(Pointer handle) {
    this.seat = new Seat(handle);
    this.closing = CLEANER.register(this, seat);
  }

  /** Waits for a seat, at most this number of milliseconds. */
  public static Reader within(int ms) {
    return new Reader(create(Math.max(ms, 0)));
  }

  private static Pointer create(int waitMs) {
    PointerByReference out = new PointerByReference();
    byte[] message = new byte[Library.TEXT_BYTES];
    NativeLong length = new NativeLong(message.length);
    int code =
        waitMs < 0
            ? Library.INSTANCE.SM_CreateReader(out, message, length)
            : Library.INSTANCE.SM_CreateReaderWithin(out, waitMs, message, length);
    SeatmeterException.check(code, message);
    return out.getValue();
  }

  /** Gives the seat back. A second call does nothing. */
  @Override
  public void close() {
    closing.clean();
  }

  /** Counts the barcodes of one still image; returns the number of different ones. */
  public int countImage(List<Barcode> barcodes) {
    return count(Library.INSTANCE::SM_CountImage, barcodes);
  }

  /** Counts the barcodes of one frame of a video; returns how many were counted now. */
  public int countFrame(List<Barcode> barcodes) {
    return count(Library.INSTANCE::SM_CountFrame, barcodes);
  }

  /** Counts n scans of one symbology, which the caller has made unique. */
  public void countScans(int format, long n) {
    use(
        handle -> {
          int code = Library.INSTANCE.SM_CountScans(handle, format, n);
          SeatmeterException.checkRange(code, "n", n, 0, SeatmeterException.COUNT_MAX);
          return code;
        });
  }

  /** Sets for how long a counted barcode of a frame sequence does not count again: 0 to 600000 milliseconds. */
  public void setDuplicateForgetTime(int ms) {
    use(
        handle -> {
          int code = Library.INSTANCE.SM_SetDuplicateForgetTime(handle, ms);
          SeatmeterException.checkRange(code, "ms", ms, 0, SeatmeterException.FORGET_MS_MAX);
          return code;
        });
  }

  private void use(ToIntFunction<Pointer> function) {
    try {
      seat.call(function);
    } finally {
      // The object is in use until here, so that it is not collected, and its seat with it.
      java.lang.ref.Reference.reachabilityFence(this);
    }
  }

  private interface Count {
    int call(Pointer reader, Library.RawBarcode[] barcodes, NativeLong n, NativeLongByReference counted);
  }

  private int count(Count function, List<Barcode> given) {
    // Another thread may be adding to the list.
    List<Barcode> barcodes = List.copyOf(given);
    Library.RawBarcode[] raw = null;
    List<Memory> contents = new ArrayList<>();
    if (!barcodes.isEmpty()) {
      raw = (Library.RawBarcode[]) new Library.RawBarcode().toArray(barcodes.size());
      for (int i = 0; i < raw.length; i++) {
        Barcode barcode = barcodes.get(i);
        raw[i].format = barcode.format();
        raw[i].length = new NativeLong(barcode.bytes().length);
        if (barcode.bytes().length > 0) {
          Memory content = new Memory(barcode.bytes().length);
          content.write(0, barcode.bytes(), 0, barcode.bytes().length);
          contents.add(content);
          raw[i].bytes = content;
        }
      }
    }
    NativeLongByReference counted = new NativeLongByReference();
    try {
      // JNA writes the elements of an array, and takes an empty one for NULL.
      Library.RawBarcode[] all = raw;
      seat.call(
          handle -> {
            int n = barcodes.size();
            int code = function.call(handle, all, new NativeLong(n), counted);
            SeatmeterException.checkRange(code, "the number of barcodes", n, 0, SeatmeterException.BARCODES_MAX);
            return code;
          });
    } finally {
      // The object and the contents are in use until here.
      java.lang.ref.Reference.reachabilityFence(this);
      java.lang.ref.Reference.reachabilityFence(contents);
    }
    return counted.getValue().intValue();
  }
}
