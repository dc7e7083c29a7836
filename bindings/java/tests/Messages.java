import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import seatmeter.Reader;
import seatmeter.Seatmeter;
import seatmeter.SeatmeterException;

/** Errors use the words of this package; prints how many messages were looked at. */
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
    Seatmeter.initialize(demo().deploymentType(Seatmeter.DeploymentType.SERVER).seats(4));
    messages.add(messageOf(() -> Seatmeter.setDeviceFriendlyName("late")));
    for (String message : messages) {
      if (OF_C.matcher(message).find()) {
        throw new AssertionError(message);
      }
    }
    Seatmeter.shutdown(20000);
    System.out.println(messages.size());
  }
}
