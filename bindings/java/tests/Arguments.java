import java.util.List;
import seatmeter.Barcode;
import seatmeter.Reader;
import seatmeter.Seatmeter;

/** Checks that a text that C would cut is an error of the language; prints the number of counted scans. */
final class Arguments {
  private static final String NUL = "DEMO-4-SEATS\0";

  private static void refused(Runnable call) {
    try {
      call.run();
    } catch (IllegalArgumentException e) {
      return;
    }
    throw new AssertionError("a text with a NUL");
  }

  public static void main(String[] arguments) {
    Seatmeter.Parameters parameters = new Seatmeter.Parameters();
    List<Runnable> calls =
        List.of(
            () -> parameters.server(NUL),
            () -> parameters.standbyServer(NUL),
            () -> parameters.handshakeCode(NUL),
            () -> parameters.sessionPassword(NUL),
            () -> parameters.organizationId(NUL),
            () -> Seatmeter.setStateDirectory(NUL),
            () -> Seatmeter.setCaFile(NUL),
            () -> Seatmeter.setDeviceFriendlyName(NUL),
            () -> Seatmeter.setValidationField(Seatmeter.ValidationField.APPLICATION_ID, NUL),
            () -> Seatmeter.decodeFile(NUL));
    calls.forEach(Arguments::refused);
    Seatmeter.initialize(
        parameters
            .handshakeCode("DEMO-4-SEATS")
            .standbyServer(null)
            .seats(4)
            .deploymentType(Seatmeter.DeploymentType.SERVER)
            .chargeWay(Seatmeter.ChargeWay.CONCURRENT_INSTANCE));
    int counted;
    try (Reader reader = Reader.within(Integer.MAX_VALUE)) {
      // A NUL in a barcode is content.
      counted = reader.countImage(List.of(Barcode.of(4, "a\0b"), Barcode.of(4, "a\0c")));
    }
    Seatmeter.shutdown(20000);
    System.out.println(counted);
  }
}
