package seatmeter;

import java.nio.charset.StandardCharsets;

/** A barcode that a decoder of yours has read: a symbology, and the content. */
public record Barcode(int format, byte[] bytes) {
  /** Returns a barcode whose content is a text. */
  public static Barcode of(int format, String text) {
    return new Barcode(format, text.getBytes(StandardCharsets.UTF_8));
  }
}
