import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.Serializable;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HexFormat;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import seatmeter.Barcode;
import seatmeter.Reader;
import seatmeter.Seatmeter;
import seatmeter.SeatmeterException;

/** Plays a program of bindings/scenario.txt: reads commands from standard input, and answers each with a line. */
final class Scenario {
  private static final Deque<Reader> READERS = new ArrayDeque<>();

  private static final Queue<String> LINES = new ConcurrentLinkedQueue<>();

  private static List<Barcode> barcodes(int n) {
    return IntStream.range(0, n).mapToObj(i -> Barcode.of(4, "code" + i)).toList();
  }

  /** Closes a reader while threads count with it: each must get the error that it is closed. */
  private static String stale() {
    Reader reader = READERS.pop();
    AtomicInteger heard = new AtomicInteger();
    Runnable count =
        () -> {
          try {
            for (int i = 0; i < 1_000_000; i++) {
              reader.countImage(List.of());
            }
          } catch (IllegalStateException e) {
            heard.incrementAndGet();
          }
        };
    List<Thread> threads = Stream.generate(() -> new Thread(count)).limit(4).toList();
    threads.forEach(Thread::start);
    reader.close();
    try {
      for (Thread thread : threads) {
        thread.join();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    return heard + " closed";
  }

  private static void init(String server, String code, int seats) {
    Seatmeter.initialize(
        new Seatmeter.Parameters()
            .server(server)
            .handshakeCode(code)
            .seats(seats)
            .deploymentType(Seatmeter.DeploymentType.SERVER)
            .chargeWay(Seatmeter.ChargeWay.CONCURRENT_INSTANCE));
  }

  private static String nul(String server) {
    try {
      init(server, "DEMO-4-SEATS\0-AND-MORE", 4);
      return "a text";
    } catch (IllegalArgumentException e) {
      return "no text";
    }
  }

  private static String obey(String[] words) {
    String argument = words.length > 1 ? words[1] : "";
    switch (words[0]) {
      case "init":
        init(argument, words[2], Integer.parseInt(words[3]));
        return "ok";
      case "nul":
        return nul(argument);
      case "version":
        return Seatmeter.version();
      case "log":
        Seatmeter.setLog((level, line) -> LINES.add(line));
        return "ok";
      case "heard":
        return LINES.stream().anyMatch(line -> line.contains("licensed")) ? "yes" : LINES.toString();
      case "friendly":
        Seatmeter.setDeviceFriendlyName(argument);
        return "ok";
      case "field":
        Seatmeter.setValidationField(Seatmeter.ValidationField.WEBSITE_DOMAIN, argument);
        return "ok";
      case "ca":
        Seatmeter.setCaFile(argument);
        return "ok";
      case "uuid":
        return HexFormat.of().parseHex(Seatmeter.deviceUuid()).length * 2 + " digits";
      case "holders":
        List<Seatmeter.Holder> all = Seatmeter.holders();
        int seats = all.stream().mapToInt(Seatmeter.Holder::seats).sum();
        return all.size() + " processes " + seats + " seats";
      case "copy":
        // There is no public way to a second owner: the class is final, and neither cloneable nor serializable.
        Object reader = READERS.peek();
        return reader instanceof Cloneable || reader instanceof Serializable ? "a copy" : "no copy";
      case "forget":
        READERS.peek().setDuplicateForgetTime(Integer.parseInt(argument));
        return "ok";
      case "scans":
        READERS.peek().countScans(4, Long.parseLong(argument));
        return "ok";
      case "idle":
        return Integer.toString(Seatmeter.idleCount());
      case "create":
        READERS.push(new Reader());
        return "ok";
      case "within":
        READERS.push(Reader.within(Integer.parseInt(argument)));
        return "ok";
      case "destroy":
        READERS.pop().close();
        return "ok";
      case "stale":
        return stale();
      case "image":
        return Integer.toString(READERS.peek().countImage(barcodes(Integer.parseInt(argument))));
      case "frame":
        return Integer.toString(READERS.peek().countFrame(barcodes(Integer.parseInt(argument))));
      case "pages":
        Seatmeter.countPages(Seatmeter.PageModule.CORE, Long.parseLong(argument));
        return "ok";
      case "decode":
        return Integer.toString(Seatmeter.decodeFile(argument).size());
      case "bytes":
        Seatmeter.Decoded first = Seatmeter.decodeFile(argument).get(0);
        return first.format() + " " + HexFormat.of().formatHex(first.bytes());
      case "status":
        Seatmeter.Status now = Seatmeter.status();
        return now.state() + " " + now.seatsGranted() + " " + now.seatsHeld() + " " + now.seatsIdle();
      case "roots":
        Seatmeter.Status roots = Seatmeter.status();
        String whose = roots.rootKeyIsOfFirstAnswer() ? "of the first answer" : "of the vendor";
        return roots.rootKeysBuiltIn() + " built in, " + whose + ", " + roots.rootKeyIds().length() + " digits";
      case "sync":
        Seatmeter.sync(20000);
        return "ok";
      case "shutdown":
        Seatmeter.shutdown(20000);
        return "ok";
      default:
        return "what is " + words[0];
    }
  }

  private static String answer(String line) {
    try {
      return obey(line.split(" "));
    } catch (SeatmeterException.NoLicense e) {
      return describe(e, "unlicensed");
    } catch (SeatmeterException.AllSeatsTaken e) {
      return describe(e, "taken");
    } catch (SeatmeterException.Refused e) {
      return describe(e, "refused");
    } catch (SeatmeterException.ServerUnreachable e) {
      return describe(e, "unreachable");
    } catch (SeatmeterException e) {
      return describe(e, "other");
    }
  }

  private static String describe(SeatmeterException e, String kind) {
    String found = e.results().isEmpty() ? "" : " with " + e.results().size() + " results";
    return "error " + e.code() + " " + kind + found;
  }

  public static void main(String[] arguments) throws Exception {
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      System.out.println(answer(line));
    }
  }
}
