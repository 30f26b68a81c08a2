import java.util.Arrays;
import org.apache.beam.runners.flink.FlinkJobServerDriver;

/**
 * Starts Beam's job service for Flink without the upload of its class path.
 *
 * <p>By default the service uploads every jar of its own class path with every job: 220 MB here. The cluster has the same jars, so
 * only the jar named by the first argument is left for the upload (Flink refuses an empty list).
 */
public class JobService {
  public static void main(String[] arguments) throws Exception {
    System.setProperty("java.class.path", arguments[0]);
    FlinkJobServerDriver.main(Arrays.copyOfRange(arguments, 1, arguments.length));
  }
}
