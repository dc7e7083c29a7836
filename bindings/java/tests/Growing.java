import java.util.AbstractList;
import seatmeter.Barcode;
import seatmeter.Reader;
import seatmeter.Seatmeter;

/** Counts a list that grows meanwhile, as if another thread added to it; prints the number of counted scans. */
final class Growing extends AbstractList<Barcode> {
  private int size;

  /** Returns one more each time that it is asked. */
  @Override
  public int size() {
    size = Math.min(size + 1, 100);
    return size;
  }

  @Override
  public Barcode get(int i) {
    return Barcode.of(4, "code" + i);
  }

  public static void main(String[] arguments) {
    Seatmeter.initialize(
        new Seatmeter.Parameters()
            .handshakeCode("DEMO-4-SEATS")
            .seats(4)
            .deploymentType(Seatmeter.DeploymentType.SERVER)
            .chargeWay(Seatmeter.ChargeWay.CONCURRENT_INSTANCE));
    int counted;
    try (Reader reader = new Reader()) {
      counted = reader.countImage(new Growing());
    }
    Seatmeter.shutdown(20000);
    System.out.println(counted);
  }
}
