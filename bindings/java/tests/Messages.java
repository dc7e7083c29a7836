import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import seatmeter.Reader;
import seatmeter.Seatmeter;
import seatmeter.SeatmeterException;

/** Checks that errors use the words of this package; prints the number of checked messages. */
final class Messages {
  private static final Pattern OF_C =
      Pattern.compile(
          "\\b(SM_\\w+|DBR_\\w+|InitLicense\\w*|GetIdle\\w*|maxConcurrentInstanceCount|\\w+ServerURL"
              + "|organizationID|UUIDGen\\w*)\\b");

  private static String messageOf(Runnable call) {
    try {
      call.run();
    } catch (SeatmeterException e) {
      return e.getMessage();
    }
    throw new AssertionError("no error");
  }

  private static String names(String expected, Runnable call) {
    String message = messageOf(call);
    if (!message.contains(expected)) {
      throw new AssertionError(message);
    }
    return message;
  }

  private static Seatmeter.Parameters demo() {
    return new Seatmeter.Parameters().handshakeCode("DEMO-4-SEATS");
  }

  public static void main(String[] arguments) {
    List<Runnable> calls =
        List.of(
            Reader::new,
            () -> Seatmeter.initialize(new Seatmeter.Parameters()),
            () -> Seatmeter.initialize(demo().seats(0)),
            () -> Seatmeter.initialize(demo().seats(5)),
            () -> Seatmeter.initialize(demo().deploymentType(Seatmeter.DeploymentType.MOBILE)),
            () -> Seatmeter.initialize(demo().server("ftp://x")));
    List<String> messages = new ArrayList<>();
    calls.forEach(call -> messages.add(messageOf(call)));
    String length = "x".repeat(513);
    String setting = " in bytes is 513; it must be from 0 to 512";
    String path = "path in bytes is 0; it must be from 1 to 4095";
    Seatmeter.ValidationField field = Seatmeter.ValidationField.WEBSITE_DOMAIN;
    messages.add(names("value" + setting, () -> Seatmeter.setValidationField(field, length)));
    messages.add(names("name" + setting, () -> Seatmeter.setDeviceFriendlyName(length)));
    messages.add(names(path, () -> Seatmeter.setStateDirectory("")));
    messages.add(names(path, () -> Seatmeter.setCaFile("")));
    Seatmeter.initialize(demo().deploymentType(Seatmeter.DeploymentType.SERVER).seats(4));
    messages.add(messageOf(() -> Seatmeter.setDeviceFriendlyName("late")));
    String count = "n is 4294967296; it must be from 0 to 4294967295";
    messages.add(names(count, () -> Seatmeter.countPages(Seatmeter.PageModule.CORE, 1L << 32)));
    try (Reader reader = new Reader()) {
      messages.add(names(count, () -> reader.countScans(4, 1L << 32)));
      messages.add(names("ms is -1; it must be from 0 to 600000", () -> reader.setDuplicateForgetTime(-1)));
    }
    for (String message : messages) {
      if (OF_C.matcher(message).find()) {
        throw new AssertionError(message);
      }
    }
    Seatmeter.shutdown(20000);
    System.out.println(messages.size());
  }
}
